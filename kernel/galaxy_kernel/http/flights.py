"""The requests being served: each within its time, all of them finished before the service stops."""

import asyncio
from collections.abc import Callable
from typing import Any

from galaxy_kernel.problems import Problem


class Flight:
    """One request being served."""

    __slots__ = ("cut_short", "deadline", "task")

    def __init__(self, task: "asyncio.Task[Any]", deadline: float) -> None:
        self.task, self.deadline = task, deadline
        self.cut_short: Problem | None = None
        """Why the service itself cancelled it, and so what is answered; None when it did not."""


class Flights:
    """All requests being served.

    They share one limit, so they expire in the order in which they began, and one timer for the oldest is
    enough: a request costs an entry in a dict, not a timer of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float, late: Callable[[], Problem]) -> None:
        self._loop, self._limit, self._late = loop, limit, late
        self._flights: dict[Flight, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._landed: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self) -> Flight:
        """Note that the current task serves a request from now on."""
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101 # this is called from a coroutine
        flight = Flight(task, self._loop.time() + self._limit)
        self._flights[flight] = None
        if self._timer is None:
            self._timer = self._loop.call_at(flight.deadline, self._expire)
        return flight

    def end(self, flight: Flight) -> None:
        """Note that the request is served."""
        del self._flights[flight]
        if self._landed is not None and not self._flights:
            self._landed.set()

    async def landed(self, timeout: float) -> bool:
        """Wait until no request is being served, at most `timeout` seconds; give whether that is so."""
        if self._flights:
            self._landed = asyncio.Event()
            try:
                async with asyncio.timeout(timeout):
                    await self._landed.wait()
            except TimeoutError:
                return not self._flights
        return True

    def cut_short(self, problem: Problem) -> None:
        """Answer everything still being served with `problem`."""
        for flight in self._flights:
            _cut(flight, problem)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for flight in self._flights:
            if flight.cut_short is not None:
                continue  # cancelled before, and still cleaning up
            if flight.deadline > now:
                self._timer = self._loop.call_at(flight.deadline, self._expire)
                return
            _cut(flight, self._late())


def _cut(flight: Flight, problem: Problem) -> None:
    if flight.cut_short is None:
        flight.cut_short = problem
        flight.task.cancel()
