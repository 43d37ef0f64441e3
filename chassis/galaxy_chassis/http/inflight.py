"""The requests being served: each within its time, all of them finished before the service stops."""

import asyncio
from collections.abc import Callable
from typing import Any

from galaxy_chassis.http.problems import Problem

Flight = asyncio.Task[Any]
"""A request being served: the task that serves it."""


class Flights:
    """All requests being served.

    They share one limit, so they expire in the order in which they began, and one timer for the oldest is
    enough: a request costs an entry in a dict, not a timer of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float, late: Callable[[], Problem]) -> None:
        self._loop, self._limit, self._late = loop, limit, late
        self._deadlines: dict[Flight, float] = {}
        self._cut: dict[Flight, Problem] = {}
        """Those that the service itself cancelled, and why."""
        self._timer: asyncio.TimerHandle | None = None
        self._landed: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self) -> Flight:
        """Note that the current task serves a request from now on."""
        flight = asyncio.current_task(self._loop)
        assert flight is not None  # noqa: S101 # this is called from a coroutine
        deadline = self._deadlines[flight] = self._loop.time() + self._limit
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return flight

    def why_cut_short(self, flight: Flight) -> Problem | None:
        """Tell why the service itself cancelled a request, and so what is answered; None when it did not."""
        return self._cut.get(flight)

    def end(self, flight: Flight) -> None:
        """Note that the request is served."""
        del self._deadlines[flight]
        if self._cut:
            self._cut.pop(flight, None)
        if self._landed is not None and not self._deadlines:
            self._landed.set()

    async def landed(self, timeout: float) -> bool:
        """Wait until no request is being served, at most `timeout` seconds; give whether that is so."""
        if self._deadlines:
            self._landed = asyncio.Event()
            try:
                async with asyncio.timeout(timeout):
                    await self._landed.wait()
            except TimeoutError:
                return not self._deadlines
        return True

    def cut_short(self, problem: Problem) -> None:
        """Answer everything still being served with `problem`."""
        for flight in self._deadlines:
            self._cancel(flight, problem)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for flight, deadline in self._deadlines.items():
            if flight in self._cut:
                continue  # cancelled before, and still cleaning up
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._expire)
                return
            self._cancel(flight, self._late())

    def _cancel(self, flight: Flight, problem: Problem) -> None:
        if flight not in self._cut:
            self._cut[flight] = problem
            flight.cancel()
