"""Running the conformance kit against a version, in a thread with an event loop of its own.

The kit parses, compares and searches whatever an engine answers, up to megabytes at a time: on the service's own event
loop a hostile engine could hold up every player.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import msgspec

from galaxy_contracts.engines import EngineDrivers
from galaxy_engineversion.domain import storable

if TYPE_CHECKING:
    from galaxy_engine.drivers.driver import EngineDriver, Prepared
    from galaxy_engine.kit.running import Report
    from galaxy_engine.kit.subject import Engine, Subject

T = TypeVar("T")

PLAY_SECONDS = 60.0
"""How long the kit may play one game to its end."""
START_SECONDS = 30.0
"""How long the kit waits for an engine to become healthy."""
MAX_TEXT, MAX_CALLS = 4_000, 20
"""Characters of each text, and calls of each finding, that are kept: the rest is for `backend engine check`."""


class Failure(msgspec.Struct, frozen=True):
    """Why the kit came to no report."""

    code: str
    message: str
    detail: str = ""


class Examined(msgspec.Struct, frozen=True):
    """What an examination has shown."""

    image: str
    """What was examined: the digest where one is known."""
    digest: str | None = None
    describe: dict[str, Any] | None = None
    report: dict[str, Any] | None = None
    failure: Failure | None = None

    def result(self) -> dict[str, Any]:
        """Return what is kept as the check's result."""
        failure = None if self.failure is None else msgspec.to_builtins(self.failure)
        return {"conforms": False, "image": self.image, "failure": failure, **(self.report or {})}


async def examine(drivers: EngineDrivers, owner: UUID, image: str, limit: timedelta) -> Examined:
    """Return what the kit finds of an image. Cancelled, it removes its engines first.

    `owner` is that of all engines that examinations of one version start: those that a process which died has left
    behind are removed at the beginning.
    """
    return await in_own_loop(lambda: _examine(drivers, str(owner), image, limit))


async def _examine(drivers: EngineDrivers, owner: str, image: str, limit: timedelta) -> Examined:
    from galaxy_engine.failures import EngineFailure  # noqa: PLC0415  (imports the kit's libraries: only where it runs)

    prepared: list[Prepared] = []
    try:
        async with asyncio.timeout(limit.total_seconds()):
            driver: EngineDriver = drivers.open(owner)
            try:
                await remove_all(driver)
                prepared.append(await driver.prepare(image, drivers.pull_policy))
            except BaseException:
                await driver.close()
                raise
            return await _run(driver, owner, image, prepared[0])
    except EngineFailure as failure:
        return Examined(image, failure=Failure(failure.code, _text(str(failure)), _text(failure.detail)))
    except TimeoutError:
        digest = prepared[0].digest if prepared else None
        took = f"the engine was not examined within {limit.total_seconds():g} s"
        return Examined(image, digest, failure=Failure("check_timeout", took))


async def remove_all(driver: "EngineDriver") -> None:
    """Remove every engine of the driver's owner."""
    for observed in await driver.observe():
        await driver.remove(observed.handle, timedelta(0))


async def _run(driver: "EngineDriver", owner: str, image: str, prepared: "Prepared") -> Examined:
    from galaxy_engine.kit.examination import Settings  # noqa: PLC0415
    from galaxy_engine.kit.launched import LaunchedSubject  # noqa: PLC0415
    from galaxy_engine.kit.running import examine  # noqa: PLC0415
    from galaxy_engine.kit.trace import Trace  # noqa: PLC0415

    trace = Trace()
    subject = _Described(LaunchedSubject(prepared.image, driver, owner, trace, "if_missing"))
    report = await examine(subject, trace, Settings(seconds=PLAY_SECONDS, start_within=START_SECONDS))
    return Examined(prepared.digest or image, prepared.digest, subject.describe, _kept(report))


class _Described:
    """A subject that asks an engine what it is before all of them are removed."""

    def __init__(self, subject: "Subject") -> None:
        self._subject = subject
        self._engines: list[Engine] = []
        self.describe: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self._subject.name

    @property
    def kind(self) -> str:
        return self._subject.kind

    @property
    def launches(self) -> bool:
        return self._subject.launches

    async def start(self, variant: int, port: int | None = None) -> "Engine":
        self._engines.append(await self._subject.start(variant, port))
        return self._engines[-1]

    async def stop(self, engine: "Engine", grace: float) -> None:
        self._engines.remove(engine)
        await self._subject.stop(engine, grace)

    async def state(self, engine: "Engine") -> str:
        return await self._subject.state(engine)

    async def close(self) -> str:
        try:
            self.describe = await self._ask()
        finally:
            left = await self._subject.close()
        return left

    async def _ask(self) -> dict[str, Any] | None:
        from galaxy_engine.kit.findings import Failed  # noqa: PLC0415
        from galaxy_engine.messages import Describe  # noqa: PLC0415

        for engine in self._engines:
            with contextlib.suppress(Failed):
                described = (await engine.describe()).message(Describe)
                return _builtins(described)
        return None


def _builtins(message: Any) -> dict[str, Any]:
    """Return a message as it is stored; its raw parts too, which `msgspec.to_builtins` does not take."""
    return cast("dict[str, Any]", storable(msgspec.json.decode(msgspec.json.encode(message))))


def _kept(report: "Report") -> dict[str, Any]:
    """Return what is kept of a report."""
    return {
        "conforms": report.conforms,
        "engine": _text(report.engine),
        "seed": report.seed,
        "seconds": report.seconds,
        "orders": _text(report.orders),
        "only_empty": report.only_empty,
        "results": [
            {
                "id": result.id,
                "title": result.title,
                "rule": result.rule,
                "outcome": result.outcome,
                "detail": _text(result.detail),
                "expected": _text(result.expected),
                "came": _text(result.came),
                "calls": [_text(call) for call in result.calls[-MAX_CALLS:]],
            }
            for result in report.results
        ],
    }


def _text(text: str) -> str:
    """Return text that an engine may have had a part in, fit to be stored and shown."""
    cut = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    return "".join(character if character.isprintable() or character == "\n" else " " for character in cut)


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what `work` returns, run in a thread with a loop of its own.

    When this is cancelled, `work` is too, and its end is waited for.
    """
    thread = _LoopThread(work)
    result = asyncio.wrap_future(thread.result)
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        thread.cancel()
        while not result.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([result])
        if not result.cancelled():
            result.exception()  # retrieved, so that asyncio does not log it: nobody waits for it any more
        raise


class _LoopThread:
    """A thread that runs one coroutine."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.result: Future[Any] = Future()
        self._work = work
        self._lock = threading.Lock()
        self._cancelled = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="engine check", daemon=True).start()

    def cancel(self) -> None:
        """Cancel the coroutine, whether it has begun or not."""
        with self._lock:
            self._cancelled = True
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)

    def _run(self) -> None:
        try:
            value = asyncio.run(self._main())
        except BaseException as error:
            self.result.set_exception(error)
        else:
            self.result.set_result(value)

    async def _main(self) -> Any:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (for mypy)
        with self._lock:
            if self._cancelled:
                raise asyncio.CancelledError
            self._running = asyncio.get_running_loop(), task
        try:
            return await self._work()
        finally:
            with self._lock:
                self._running = None
