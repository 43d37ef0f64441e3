"""One line a minute where each of many alike events would write one."""

import time
from collections.abc import Callable

EVERY = 60.0
"""Seconds between two lines."""


class Pace:
    """Decides which of many alike events is logged: the first, and then one in each `every` seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, *, every: float = EVERY) -> None:
        self._monotonic, self._every = monotonic, every
        self._next, self._held_back = float("-inf"), 0

    def due(self) -> int | None:
        """Return how many events were held back since the last line, or None for an event to hold back."""
        now = self._monotonic()
        if now < self._next:
            self._held_back += 1
            return None
        held_back, self._held_back = self._held_back, 0
        self._next = now + self._every
        return held_back
