"""The base of what the server answers, and pages of lists.

Members that this version does not know are passed over and words (states, reasons, kinds) are plain strings, so that a
newer server works with an older client.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the server answers."""


class Page(Model, Generic[T], frozen=True, kw_only=True):
    """One page of a list. Iterating goes over its items."""

    items: list[T]
    page: int
    """From 1."""
    page_size: int
    total: int
    """Of all pages."""

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items of this page."""
        return iter(self.items)

    def __len__(self) -> int:
        """Return the number of items on this page."""
        return len(self.items)

    @property
    def more(self) -> bool:
        """Whether another page follows."""
        return self.page * self.page_size < self.total
