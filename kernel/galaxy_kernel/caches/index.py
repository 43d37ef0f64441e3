"""A further way to find the rows of a cache: by something that several of them may share."""

from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from galaxy_kernel.caches.rows import Key

K = TypeVar("K", bound=Key)
V = TypeVar("V")


class Index(Generic[K, V]):
    """The keys of a cache's rows, by what a function says of each row."""

    def __init__(self, by: Callable[[V], Key | None]) -> None:
        self._by = by
        self._keys: dict[Key, dict[K, None]] = {}

    def keys(self, value: Key) -> Collection[K]:
        """Return the keys of the rows with this value, in the order in which they came to it."""
        return self._keys.get(value, {}).keys()

    def build(self, rows: Mapping[K, V]) -> None:
        """Begin again with these rows."""
        self._keys = {}
        for key, row in rows.items():
            self._add(key, row)

    def change(self, key: K, before: V | None, after: V | None) -> None:
        """Note a row that is new, changed or gone."""
        if before is not None:
            if after is not None and self._by(before) == self._by(after):
                return
            self._remove(key, before)
        if after is not None:
            self._add(key, after)

    def _add(self, key: K, row: V) -> None:
        value = self._by(row)
        if value is not None:
            self._keys.setdefault(value, {})[key] = None

    def _remove(self, key: K, row: V) -> None:
        value = self._by(row)
        if value is None:
            return
        keys = self._keys[value]
        del keys[key]
        if not keys:
            del self._keys[value]
