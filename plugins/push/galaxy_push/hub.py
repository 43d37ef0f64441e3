"""The newest events of this process, ready to be sent, and a condition to wait for more.

One reader adds; every subscriber reads at its own pace, and no state is kept for any of them: one that falls behind
what is held here reads the table. So memory is bounded by the hub's own limits, whatever subscribers do.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence

from galaxy_push import frames
from galaxy_push.domain import Cursor, StoredEvent

HELD_EVENTS = 4096
HELD_BYTES = 16 * 1024 * 1024
HELD_SECONDS = 60.0
"""Seconds that events are held at most, so that a quiet server does not keep events deleted from the database."""


class Hub:
    """States: closed → open (its head is known). Opened again, it has lost its position, and its era ends."""

    def __init__(
        self, monotonic: Callable[[], float], *, held_events: int = HELD_EVENTS, held_bytes: int = HELD_BYTES
    ) -> None:
        self._monotonic, self._held_events, self._held_bytes = monotonic, held_events, held_bytes
        self.head: int | None = None
        """Every event up to this number was read; None while closed."""
        self.generation = ""
        """The generation of the numbers here; empty while closed."""
        self.era = 0
        """Grows when the position is lost: the stream has another generation, or events were trimmed unread."""
        self._floor = 0
        """Everything after this number, up to the head, is held."""
        self._numbers: list[int] = []
        self._encoded: list[bytes] = []
        self._bytes = 0
        self._ages: deque[tuple[float, int]] = deque()
        """When numbers up to these were added."""
        self._bell = asyncio.Event()

    @property
    def held(self) -> int:
        """Events that are held."""
        return len(self._numbers)

    def open(self, start: Cursor) -> None:
        """Start after this cursor, with no events."""
        if self.head is not None:
            self.era += 1
        self.generation = start.generation
        self.head = self._floor = start.number
        self._numbers, self._encoded, self._bytes = [], [], 0
        self._ages.clear()
        self._ring()

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Add the events that follow the head, and wake waiters."""
        if events:
            encoded = [frames.encode(event, self.generation) for event in events]
            self._numbers += [event.seq for event in events]
            self._encoded += encoded
            self._bytes += sum(map(len, encoded))
            self.head = events[-1].seq
            self._ages.append((self._monotonic(), self.head))
        self._expire()
        if events:
            self._ring()

    def lost(self, cursor: Cursor, era: int) -> bool:
        """Return whether a subscriber that began in this era can no longer continue after this cursor."""
        return self.era != era or (self.head is not None and self.generation != cursor.generation)

    async def beyond(self, cursor: Cursor, era: int) -> None:
        """Wait until there is an event after this cursor, or it is lost."""
        while not self.lost(cursor, era) and (self.head is None or self.head <= cursor.number):
            await self._bell.wait()

    def take(self, number: int) -> tuple[int, bytes] | None:
        """Return the next frame after this number, with the number of its last event; None where it is not held here.

        There must be an event after it.
        """
        if number < self._floor:
            return None
        start = bisect_right(self._numbers, number)
        waiting = self._encoded[start : start + frames.MAX_EVENTS]
        frame = b"".join(waiting)
        end = start + len(waiting)
        if len(frame) > frames.MAX_BYTES:
            end = start + frames.fitting(waiting)
            frame = b"".join(self._encoded[start:end])
        return self._numbers[end - 1], frame

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def _expire(self) -> None:
        oldest = self._monotonic() - HELD_SECONDS
        while self._ages and self._ages[0][0] < oldest:
            self._drop_to(self._ages.popleft()[1])
        surplus = max(0, len(self._numbers) - self._held_events)
        size = self._bytes - sum(map(len, self._encoded[:surplus]))
        while size > self._held_bytes:
            size -= len(self._encoded[surplus])
            surplus += 1
        if surplus:
            self._drop_to(self._numbers[surplus - 1])

    def _drop_to(self, number: int) -> None:
        """Drop all events up to this number."""
        end = bisect_right(self._numbers, number)
        self._bytes -= sum(map(len, self._encoded[:end]))
        del self._numbers[:end], self._encoded[:end]
        self._floor = number
        while self._ages and self._ages[0][1] <= number:
            self._ages.popleft()
