"""The requests being served: each within its time, all of them finished before the service stops."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from galaxy_chassis.http.problems import Problem

T = TypeVar("T")
ServingTask = asyncio.Task[Any]
"""A request being served: the task that serves it."""


class InFlightRequests:
    """All requests being served.

    They share one limit, so they expire in the order in which they began, and one timer for the oldest is
    enough: a request costs an entry in a dict, not a timer of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float, late: Callable[[], Problem]) -> None:
        self._loop, self._limit, self._late = loop, limit, late
        self._deadlines: dict[ServingTask, float] = {}
        self._aborted: dict[ServingTask, Problem] = {}
        """Those that the service itself cancelled, and why."""
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self) -> ServingTask:
        """Note that the current task serves a request from now on."""
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101 # this is called from a coroutine
        deadline = self._deadlines[task] = self._loop.time() + self._limit
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return task

    def lift_limit(self) -> None:
        """Let the current request last as long as it likes: something else limits it from now on."""
        task = asyncio.current_task(self._loop)
        if task in self._deadlines:
            self._deadlines[task] = math.inf

    def abort_reason(self, task: ServingTask) -> Problem | None:
        """Return the problem with which the service itself cancelled a request; None when it did not."""
        return self._aborted.get(task)

    def end(self, task: ServingTask) -> None:
        """Note that the request is served."""
        del self._deadlines[task]
        if self._aborted:
            self._aborted.pop(task, None)
        if self._idle is not None and not self._deadlines:
            self._idle.set()

    async def serve(
        self, work: Coroutine[Any, Any, T], explain: Callable[[BaseException], Problem | None] = lambda _: None
    ) -> T:
        """Await what serves a request, within the limit, and return its answer.

        Raise its Problem, or the one with which the service itself gave it up; CancelledError when the client is gone;
        for anything else what `explain` makes of it, or itself.
        """
        task = self.begin()
        try:
            return await work
        except Problem:
            raise
        except asyncio.CancelledError as error:
            abort = self.abort_reason(task)
            if abort is not None and task.uncancel() == 0:
                raise abort from None
            if task.cancelling():
                raise  # the client is gone
            # this request was not cancelled: the work let the cancellation of another task escape
            if (problem := explain(error)) is None:
                raise
            raise problem from None
        except Exception as error:
            if (problem := self.abort_reason(task) or explain(error)) is None:
                raise
            raise problem from None
        finally:
            self.end(task)

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until no request is being served, at most `timeout` seconds; return whether that is so."""
        if self._deadlines:
            self._idle = asyncio.Event()
            try:
                async with asyncio.timeout(timeout):
                    await self._idle.wait()
            except TimeoutError:
                return not self._deadlines
        return True

    def abort(self, problem: Problem) -> None:
        """Answer everything still being served with `problem`."""
        for task in self._deadlines:
            self._cancel(task, problem)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task, deadline in self._deadlines.items():
            if task in self._aborted or deadline == math.inf:
                continue  # cancelled before, and still cleaning up, or without a limit
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._expire)
                return
            self._cancel(task, self._late())

    def _cancel(self, task: ServingTask, problem: Problem) -> None:
        if task not in self._aborted:
            self._aborted[task] = problem
            task.cancel()
