"""Slots for engines, and how many turns may be claimed before there is one for each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MOST_AHEAD = 64
"""Turns claimed beyond the slots, at most: two of the sets that are committed together."""
PATIENCE = 5.0
"""Seconds after which a turn without a slot is left to other replicas: engines that were quick hang."""
_AHEAD = 0.1
"""Seconds that a claimed turn may wait for a slot."""
_WEIGHT = 1 / 8
"""Of the newest answer in the average."""


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

    @property
    def claimable(self) -> int:
        """How many turns may be claimed, and not be answered yet."""
        if self._average is None:
            return self._count
        answered = self._count * _AHEAD / max(self._average, self._count * _AHEAD / MOST_AHEAD)
        return self._count + int(answered)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot during the block, once one is free. Raise NoSlotError where none is within `PATIENCE`."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise NoSlotError(f"no slot was free within {PATIENCE:g} s") from None
        begun = self._monotonic()
        try:
            yield
        finally:
            self._free.release()
            self._note(self._monotonic() - begun)

    def _note(self, seconds: float) -> None:
        average = seconds if self._average is None else self._average
        self._average = average + (seconds - average) * _WEIGHT
