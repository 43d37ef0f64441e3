"""Supervision of background workers (SPEC K-6): passes, wake-ups, restarts with back-off, singletons, draining."""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import cast

from structlog.typing import FilteringBoundLogger

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.cancellation import being_cancelled
from galaxy_chassis.clock import Clock, wait_for_event
from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.health import Health, Probe
from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import request_context
from galaxy_kernel.database import Database, is_busy, is_unavailable, sqlstate
from galaxy_kernel.database.locks import Lock, Term
from galaxy_kernel.errors import PluginError
from galaxy_kernel.passes import making_pass
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.workers.worker import NextPass, Worker

FAILURES_UNTIL_UNREADY = 5
"""Passes that may fail in a row before `/readyz` reports it."""
OUTCOMES = ("worked", "idle", "standby", "failed")
_BACKOFF = Backoff(0.2, 30.0)
"""Back-off between a failed pass and the next."""
CANCEL_GRACE = 2.0
"""Seconds that a cancelled pass gets to clean up."""

_log = get_logger("galaxy_kernel.workers", plugin="kernel")

Span = Callable[[str, str, Callable[[], bool]], AbstractContextManager[object]]
"""Traces a pass: its plugin, its worker, and whether it is worth a span unless it fails, which is known at its end."""


class WorkerError(GalaxyError):
    """A worker did what a pass must not do."""


class Supervised:
    """One worker under supervision."""

    def __init__(
        self,
        plugin: str,
        worker: Worker,
        *,
        database: Database,
        wakeups: Wakeups,
        clock: Clock,
        random: random.Random,
        log: FilteringBoundLogger,
        span: Span,
    ) -> None:
        self.plugin, self.worker = plugin, worker
        self._wake = wakeups.event(worker.name)
        self._lock = Lock(database, worker.name) if worker.singleton else None
        self._clock, self._random, self._span = clock, random, span
        self._log = log.bind(plugin=plugin, worker=worker.name)
        self._takes_term = takes_term(plugin, worker)
        self._interval = worker.interval.total_seconds()
        self._stopping = asyncio.Event()
        self._failures = 0
        self._last_error = ""
        self._ended = False
        """Whether its task has ended, and no pass of the next one has succeeded yet."""
        self._begun: float | None = None
        """When the current pass began, in monotonic seconds; None between two."""
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        """Passes so far: they `worked`, were `idle` (nothing to do), on `standby` (another replica's) or `failed`."""

    async def run(self) -> None:
        """Run passes until asked to stop; the current pass is finished first."""
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                await self._rest(await self._pass())
        finally:
            if self._lock is not None:
                await self._lock.release()

    @property
    def passes(self) -> int:
        """Passes that ran to their end."""
        return self.outcomes["worked"] + self.outcomes["idle"]

    def stop(self) -> None:
        """Ask it to stop after the current pass."""
        self._stopping.set()
        self._wake.set()

    def ended(self, error: BaseException) -> float:
        """Record that its task ended by itself, and return the seconds until its restart."""
        self._failures += 1
        self._last_error, self._ended = type(error).__name__, True
        delay = _BACKOFF.delay(self._failures, self._random)
        self._log.critical("worker_ended", retry_in_seconds=round(delay, 1), exc_info=error)
        return delay

    async def health(self) -> Health:
        """Fail past the limit of failures in a row, while a pass does not end, and after the task itself has ended."""
        if self._ended:
            return Health("failed", f"its task ended with {self._last_error}: it is started again, see the logs")
        running = 0.0 if self._begun is None else self._clock.monotonic() - self._begun
        if running > self.worker.longest_pass.total_seconds():
            return Health("failed", f"its pass has not ended for {running:.0f} s: restart this process, and report it")
        if self._failures < FAILURES_UNTIL_UNREADY:
            return Health()
        return Health("failed", f"{self._failures} passes failed in a row, last with {self._last_error}")

    async def _pass(self) -> float:
        """Make one pass and return the seconds until the next is due."""
        with request_context(self.plugin), making_pass() as current:
            self._begun = self._clock.monotonic()
            try:
                with self._span(self.plugin, self.worker.name, lambda: current.found):
                    if self._lock is not None and not await self._lock.held():
                        self._succeeded(
                            "standby"
                        )  # earlier failures here are superseded: another replica holds the lock
                        return self._interval
                    arguments = () if self._lock is None or not self._takes_term else (await self._lock.term(),)
                    wanted = await asyncio.create_task(self._run_worker(*arguments), name=f"pass of {self.worker.name}")
                    pause = self._pause(wanted)
                    current.found |= wanted is True
            except asyncio.CancelledError as error:
                if being_cancelled():
                    raise
                # caused by the worker: it awaited something cancelled, or cancelled itself
                return self._failed(error)
            except Exception as error:
                return self._failed(error)
            finally:
                self._begun = None
        self._succeeded("worked" if current.found else "idle")
        return pause

    def _pause(self, wanted: NextPass) -> float:
        """Return the seconds until a worker wants its next pass, at most its interval."""
        if wanted is True:
            return 0.0
        if wanted is None or wanted is False:
            return self._interval
        if isinstance(wanted, datetime) and wanted.tzinfo is not None:
            wanted -= self._clock.now()
        if isinstance(wanted, timedelta):
            return min(self._interval, max(0.0, wanted.total_seconds()))
        raise WorkerError(f"its pass must return a bool, a timedelta, an aware datetime or None, not {wanted!r:.80}")

    async def _run_worker(self, *arguments: Term) -> NextPass:
        """Run the pass in a task of its own, so that a worker that cancels its task does not cancel its supervision."""
        try:
            return await cast("Callable[..., Awaitable[NextPass]]", self.worker.run)(*arguments)
        except SystemExit as error:  # it would end the event loop
            raise WorkerError(f"it asked the process to exit with {error.code!r}") from error

    def _succeeded(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        if self._failures:
            self._log.info("worker_recovered", after_failures=self._failures)
        self._failures, self._ended = 0, False

    def _failed(self, error: BaseException) -> float:
        self.outcomes["failed"] += 1
        self._failures += 1
        self._last_error = type(error).__name__
        if is_unavailable(error) or is_busy(error):  # `/readyz` reports it: a traceback of each worker adds nothing
            self._log.warning(
                "worker_failed", failures=self._failures, error=type(error).__name__, sqlstate=sqlstate(error)
            )
        else:
            self._log.error("worker_failed", failures=self._failures, exc_info=error)
        return _BACKOFF.delay(self._failures, self._random)

    async def _rest(self, seconds: float) -> None:
        if self._failures:
            await wait_for_event(self._stopping, seconds)
        elif seconds:
            await self._wake.wait(seconds)
        else:
            await asyncio.sleep(0)  # a worker that always has more to do must still let others run


def takes_term(plugin: str, worker: Worker) -> bool:
    """Return whether a worker's `run` takes its term. Raise PluginError for one that cannot be called."""
    parameters = inspect.signature(worker.run).parameters.values()
    required = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if worker.singleton and not required and any(each.name == "term" for each in parameters):
        raise PluginError(
            f"plugin {plugin!r}: `run` of worker {worker.name!r} has a default for `term`, and would never get one: "
            "leave the default out"
        )
    if worker.singleton and any(each.kind is each.KEYWORD_ONLY and each.name in required for each in parameters):
        raise PluginError(
            f"plugin {plugin!r}: `run` of the worker {worker.name!r} takes {', '.join(required)} by keyword alone, and "
            "is given its term by position: take the `*` out"
        )
    if len(required) > (1 if worker.singleton else 0):
        given = "its term and nothing else" if worker.singleton else "nothing, for only a singleton has a term"
        raise PluginError(
            f"plugin {plugin!r}: `run` of the worker {worker.name!r} takes {', '.join(required)}: it is given {given}"
        )
    return bool(required)


class Supervisor:
    """Every worker of one kernel."""

    def __init__(self, supervised: Iterable[Supervised]) -> None:
        self._supervised = tuple(supervised)
        self._tasks: dict[Supervised, asyncio.Task[None]] = {}
        self._draining = False

    def start(self) -> None:
        """Start every worker."""
        for each in self._supervised:
            self._start(each)

    def probes(self) -> list[tuple[str, Probe]]:
        """Return a readiness check for each worker."""
        return [
            (each.plugin, Probe(f"worker:{each.worker.name}", each.health, gates="ready")) for each in self._supervised
        ]

    def outcomes(self) -> Mapping[tuple[str, str], int]:
        """Return how many passes there were, by worker and outcome; safe from another thread."""
        return {
            (each.worker.name, outcome): each.outcomes[outcome] for each in self._supervised for outcome in OUTCOMES
        }

    async def drain(self, timeout: float) -> list[str]:
        """Let current passes finish within `timeout` seconds, cancel the others, and return their names.

        A pass that goes on after its cancellation is named and left behind: it holds up the stop by no more than 2 s.
        """
        self._draining = True
        for each in self._supervised:
            each.stop()
        tasks, self._tasks = tuple(self._tasks.values()), {}
        if not tasks:
            return []
        _, late = await asyncio.wait(tasks, timeout=max(0.0, timeout))
        if late:
            _log.warning("workers_cancelled", workers=_names(late))
            await _cancel(late)
        return _names(late)

    def _start(self, supervised: Supervised) -> None:
        if not self._draining:
            task = self._tasks[supervised] = asyncio.create_task(
                supervised.run(), name=f"worker {supervised.worker.name}"
            )
            task.add_done_callback(partial(self._ended, supervised))

    def _ended(self, supervised: Supervised, task: asyncio.Task[None]) -> None:
        """Restart a worker whose task ended, whatever the reason: nothing else would notice."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not self._draining:
            delay = supervised.ended(error or WorkerError("its task returned"))
            task.get_loop().call_later(delay, self._start, supervised)


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end, but not for ever: a pass may swallow its cancellation."""
    for task in tasks:
        task.cancel()
    _, deaf = await asyncio.wait(tasks, timeout=CANCEL_GRACE)
    if deaf:
        _log.error("workers_abandoned", workers=_names(deaf))


def _names(tasks: Iterable[asyncio.Task[None]]) -> list[str]:
    return sorted(task.get_name().removeprefix("worker ") for task in tasks)
