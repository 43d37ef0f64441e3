"""What the gateway asks of its store: four operations, each of them atomic.

Every time is in whole microseconds, so that memory and Redis, whose scripts calculate in doubles, agree to the last
digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec


class Demand(msgspec.Struct, frozen=True):
    """One unit of an allowance, which a request is about to spend."""

    key: str
    interval: int
    """Microseconds in which one unit refills."""
    capacity: int
    """Microseconds in which an empty allowance refills: the quota times the interval."""


class Spending(msgspec.Struct, frozen=True):
    """The result of spending one unit of each allowance, or of none of them."""

    allowed: bool
    debts: tuple[int, ...]
    """Microseconds until each allowance is full again, in the order of the demands."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the store holds under the key of an idempotent call."""

    granted: bool
    """Whether the caller may run the call: nobody had claimed the key."""
    fingerprint: bytes = b""
    """The fingerprint under which somebody else has claimed the key."""
    answer: bytes | None = None
    """The answer that was kept; None while the call runs."""


class Store(Protocol):
    """Each operation is one round trip. All raise StoreUnavailableError; none is repeated by itself."""

    async def spend(self, demands: Sequence[Demand]) -> Spending:
        """Spend one unit of every allowance, or of none when one of them has none left."""

    async def claim(self, key: str, owner: bytes, fingerprint: bytes, lease: float) -> Claim:
        """Claim a key for `lease` seconds, unless it is claimed or holds an answer."""

    async def finish(self, key: str, owner: bytes, fingerprint: bytes, answer: bytes, keep: float) -> bool:
        """Replace the owner's claim by the answer for `keep` seconds; return whether it is kept.

        An owner whose claim has expired does not replace what came after it. Where nothing came, its answer is kept.
        """

    async def abandon(self, key: str, owner: bytes) -> bool:
        """Remove the owner's claim; return whether it still stood."""

    async def ping(self) -> None:
        """Raise StoreUnavailableError unless the store answers."""

    async def aclose(self) -> None:
        """Close the connection."""
