"""Slots for engines, and how many turns may be claimed before there is one for each."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Self

MOST_AHEAD = 112
"""Turns claimed beyond the slots, at most: with 16 slots, two of the sets that are committed together."""
PATIENCE = 5.0
"""Seconds after which a turn without a slot is left to other replicas: engines that were quick hang."""
_AHEAD = 0.1
"""Seconds that a claimed turn may wait for a slot."""
_AHEAD_BYTES = 16 * 1024 * 1024
"""Bytes of the states that wait for slots, by their average."""
_WEIGHT = 1 / 8
"""Of the newest turn in the averages."""


class NoSlotError(Exception):
    """Every slot was held for long."""


class Slots:
    """Bounds how many engines one process asks at once.

    Turns are claimed ahead of their slots where engines are quick: then they come in full sets, which are claimed, read
    and committed as one. No other replica may take a turn that waits here, so only as many are claimed ahead as are
    answered within `_AHEAD` seconds: none where engines take long.
    """

    def __init__(self, count: int, monotonic: Callable[[], float]) -> None:
        """`count`: slots. `monotonic`: a clock in seconds."""
        self._count, self._monotonic = count, monotonic
        self._free = asyncio.Semaphore(count)
        self._average: float | None = None
        """Seconds from a slot to the engine's answer or failure; None before the first."""
        self._bytes: float | None = None
        """Of a state, on average; None before the first."""

    @property
    def claimable(self) -> int:
        """How many turns may be claimed, and not be answered yet."""
        if self._average is None:
            return self._count
        answered = self._count * _AHEAD / max(self._average, self._count * _AHEAD / MOST_AHEAD)
        return self._count + int(min(answered, _AHEAD_BYTES / max(self._bytes or 0, 1)))

    def one(self) -> "Slot":
        """Hold a slot during the block, once one is free. Raise NoSlotError where none is within `PATIENCE`."""
        return Slot(self)

    async def acquire(self) -> float:
        """Acquire a slot, and return when."""
        try:
            async with asyncio.timeout(PATIENCE) if self._free.locked() else nullcontext():
                await self._free.acquire()
        except TimeoutError:
            raise NoSlotError(f"no slot was free within {PATIENCE:g} s") from None
        return self._monotonic()

    def release(self, since: float, size: int | None) -> None:
        """Return a slot that was taken at `since`."""
        self._free.release()
        self._average = _moved(self._average, self._monotonic() - since)
        if size is not None:
            self._bytes = _moved(self._bytes, size)


class Slot:
    """The block of `Slots.one`."""

    __slots__ = ("_since", "_slots", "size")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.size: int | None = None
        """Bytes of the turn's state, to be set once they are known."""

    async def __aenter__(self) -> Self:
        self._since = await self._slots.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._slots.release(self._since, self.size)


def _moved(average: float | None, newest: float) -> float:
    return newest if average is None else average + (newest - average) * _WEIGHT
