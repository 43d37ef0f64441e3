"""A worker's passes, and its check."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from structlog.testing import capture_logs

from galaxy_chassis.clock import Clock, ManualClock
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.database.locks import Term
from galaxy_kernel.errors import PluginError
from galaxy_kernel.passes import found_work
from galaxy_kernel.tables import metadata
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.workers import supervisor as supervisor_module
from galaxy_kernel.workers.supervisor import Span, Supervised, Supervisor, takes_term
from galaxy_kernel.workers.worker import Worker

DRIVERS = {"aiopg": "postgres", "asyncpg": "postgresql+asyncpg", "psycopg": "postgresql+psycopg"}


@asynccontextmanager
async def replica(dsn: str) -> AsyncIterator[Database]:
    """Open a database with a pool of one connection."""
    database = Database(make_engine(dsn, pool_size=1, pool_timeout=2), "public")
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(params=DRIVERS)
def dsn(request: pytest.FixtureRequest, empty_database: str) -> str:
    return DRIVERS[request.param] + empty_database[empty_database.index("://") :]


class NoWaiting(random.Random):
    """Draws no delay at all."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


class Longest(random.Random):
    """Always draws the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


def supervise(
    run: Callable[[], Awaitable[Any]],
    database: Database,
    clock: Clock | None = None,
    span: Span = lambda *_: nullcontext(),
    source: random.Random | None = None,
    **options: Any,
) -> Supervised:
    """Return a worker under supervision, which does not run yet; unless `source` says so it never waits to retry."""
    return Supervised(
        "test",
        Worker("test.worker", run, **({"interval": timedelta(milliseconds=5)} | options)),
        database=database,
        wakeups=Wakeups(database, silent=True),
        clock=clock or ManualClock(),
        random=source or NoWaiting(),
        log=structlog.get_logger(),
        span=span,
    )


@asynccontextmanager
async def supervising(*supervised: Supervised) -> AsyncIterator[Supervisor]:
    """Run workers until the end of the block."""
    supervisor = Supervisor(supervised)
    supervisor.start()
    try:
        yield supervisor
    finally:
        assert await supervisor.drain(10) == []


async def until(supervised: Supervised, state: str, within: float = 20) -> None:
    """Wait until a worker's check is in a state."""
    async with asyncio.timeout(within):
        while (await supervised.health()).state != state:
            await asyncio.sleep(0.001)


async def test_a_pass_that_fails_has_a_span_that_says_so(empty_database: str) -> None:
    """The error reaches the span of its pass, so that the trace shows it, and no further."""
    seen: list[str] = []
    failed = asyncio.Event()

    @contextmanager
    def span(_plugin: str, worker: str, _worth: Callable[[], bool]) -> Iterator[None]:
        try:
            yield
        except ZeroDivisionError:
            seen.append(worker)
            raise
        finally:
            failed.set()

    async def fail() -> None:
        raise ZeroDivisionError

    async with replica(empty_database) as database:
        supervised = supervise(fail, database, ManualClock(), span)
        task = asyncio.create_task(supervised.run())
        async with asyncio.timeout(10):
            await failed.wait()
            supervised.stop()
            await task
    assert seen == ["test.worker"]


async def test_passes_are_counted_by_outcome(empty_database: str) -> None:
    """A pass that found something worked, and is worth a span; one that found nothing is idle, and is not."""
    worth: list[bool] = []
    passes = iter(["nothing", "something", "more", "error"])

    @contextmanager
    def span(_plugin: str, _worker: str, is_worth: Callable[[], bool]) -> Iterator[None]:
        try:
            yield
        finally:
            worth.append(is_worth())

    async def work() -> bool:
        what = next(passes, "nothing")
        if what == "error":
            raise ZeroDivisionError
        found_work(what == "something")
        return what == "more"

    async with replica(empty_database) as database:
        supervised = supervise(work, database, span=span)
        async with supervising(supervised) as supervisor, asyncio.timeout(20):
            while supervised.outcomes["idle"] < 2:
                await asyncio.sleep(0.001)
            counted = supervisor.outcomes()
    assert worth[:5] == [False, True, True, False, False]
    assert {outcome: number for (_, outcome), number in counted.items() if outcome != "idle"} == {
        "worked": 2,
        "standby": 0,
        "failed": 1,
    }
    assert {worker for worker, _ in counted} == {"test.worker"}


async def test_a_pass_that_does_not_end_is_told(empty_database: str) -> None:
    """A worker in a pass longer than its limit fails its check, until the pass ends."""
    clock, stuck, longest = ManualClock(), asyncio.Event(), timedelta(seconds=40)

    async def hang() -> None:
        await stuck.wait()

    async with replica(empty_database) as database:
        supervised = supervise(hang, database, clock, longest_pass=longest)
        task = asyncio.create_task(supervised.run())
        await asyncio.sleep(0)
        clock.advance(longest)
        assert (await supervised.health()).state == "ok"
        clock.advance(timedelta(seconds=1))
        assert "has not ended for 41 s" in (await supervised.health()).detail
        stuck.set()
        supervised.stop()
        await task
        assert (await supervised.health()).state == "ok"


async def test_who_stands_by_is_well_after_an_outage(dsn: str) -> None:
    """When an outage that failed the passes of both replicas is over, the one without the lock is ready again too."""
    outage, passes = True, 0

    @contextmanager
    def span(*_: object) -> Iterator[None]:
        if outage:
            raise ConnectionError("the database is away")
        yield

    async def work() -> None:
        nonlocal passes
        passes += 1

    async with replica(dsn) as here, replica(dsn) as there:
        both = [supervise(work, each, span=span, singleton=True) for each in (here, there)]
        async with supervising(*both):
            for each in both:
                await until(each, "failed")
            outage = False
            for each in both:
                await until(each, "ok")
        assert passes
        assert sorted(each.passes > 0 for each in both) == [False, True]
        assert sorted(each.outcomes["standby"] > 0 for each in both) == [False, True]


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def await_what_was_cancelled() -> None:
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    await other


async def leave() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("end", [cancel_itself, await_what_was_cancelled, leave])
async def test_a_pass_that_ends_itself_is_a_failure(end: Callable[[], Awaitable[None]], empty_database: str) -> None:
    """A pass cancelled from inside, or that raises SystemExit, is logged by its name and repeated."""
    broken = True

    async def work() -> None:
        if broken:
            await end()

    with capture_logs() as lines:
        async with replica(empty_database) as database:
            supervised = supervise(work, database)
            async with supervising(supervised):
                await until(supervised, "failed")
                broken = False
                await until(supervised, "ok")
                assert supervised.passes
    failed = [line for line in lines if line["event"] == "worker_failed"]
    assert len(failed) >= 5
    assert {(line["plugin"], line["worker"]) for line in failed} == {("test", "test.worker")}


async def test_a_stop_is_not_a_failure(empty_database: str) -> None:
    """A pass that does not end in time is cancelled by the stop, named by it, and not repeated."""
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(3600)

    with capture_logs() as lines:
        async with replica(empty_database) as database:
            supervisor = Supervisor([supervise(hang, database)])
            supervisor.start()
            await begun.wait()
            assert await supervisor.drain(0) == ["test.worker"]
    assert [(line["event"], line["workers"]) for line in lines] == [("workers_cancelled", ["test.worker"])]


async def test_a_pass_that_swallows_its_cancellation_is_left_behind(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up the stop for a moment only, and is named before and after it."""
    monkeypatch.setattr("galaxy_kernel.workers.supervisor.CANCEL_GRACE", 0.05)
    begun, released = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        begun.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    with capture_logs() as lines:
        async with replica(empty_database) as database, asyncio.timeout(20):
            supervisor = Supervisor([supervise(deaf, database)])
            supervisor.start()
            await begun.wait()
            assert await supervisor.drain(0) == ["test.worker"]
            released.set()
    assert [(line["event"], line["workers"]) for line in lines] == [
        ("workers_cancelled", ["test.worker"]),
        ("workers_abandoned", ["test.worker"]),
    ]


async def test_a_task_that_ends_is_started_again(empty_database: str) -> None:
    """Whatever ends the task around the passes is logged, fails the worker's check, and the worker runs again."""
    broken = asyncio.Event()
    database_gone = True

    class Broken(Clock):
        def monotonic(self) -> float:
            if database_gone:
                broken.set()
                raise GeneratorExit
            return 0.0

    async def work() -> None:
        pass

    with capture_logs() as lines:
        async with replica(empty_database) as database:
            supervised = supervise(work, database, Broken())
            async with supervising(supervised):
                await broken.wait()
                await until(supervised, "failed")
                assert "its task ended with GeneratorExit" in (await supervised.health()).detail
                database_gone = False
                await until(supervised, "ok")
                assert supervised.passes
    ended = [line for line in lines if line["event"] == "worker_ended"]
    assert ended
    assert (ended[0]["plugin"], ended[0]["worker"], ended[0]["log_level"]) == ("test", "test.worker", "critical")


async def test_failures_in_a_row_are_repeated_ever_later(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0.2 s on each wait is twice the one before, up to 30 s: after a pass that failed and a task that ended."""
    delays = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    waited: list[float] = []

    async def fail() -> None:
        raise ConnectionResetError

    async def wait(event: asyncio.Event, seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == len(delays):
            failing.stop()
        await asyncio.sleep(0)
        return event.is_set()

    async with replica(empty_database) as database:
        failing, ending = (supervise(fail, database, source=Longest()) for _ in range(2))
        monkeypatch.setattr(supervisor_module, "wait_for_event", wait)
        await failing.run()
        assert waited == pytest.approx(delays)
        assert [ending.ended(ZeroDivisionError()) for _ in delays] == pytest.approx(delays)


async def test_a_task_cancelled_by_somebody_else_is_started_again(empty_database: str) -> None:
    """Code that cancels foreign tasks does not end a worker permanently."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()

    async with replica(empty_database) as database:
        supervised = supervise(work, database)
        async with supervising(supervised):
            await begun.wait()
            for task in asyncio.all_tasks():
                if task.get_name() == "worker test.worker":
                    task.cancel()
            await until(supervised, "failed")
            assert supervised.passes == 0
            go_on.set()
            await until(supervised, "ok")
            assert supervised.passes


def answering(database: Database, *answers: Any, interval: timedelta = timedelta(hours=1)) -> tuple[Supervised, Any]:
    """Return a worker whose passes return these one after the other, and the list of its passes."""
    passes: list[None] = []
    waiting = list(answers)

    async def work() -> Any:
        passes.append(None)
        return waiting.pop(0) if waiting else None

    return supervise(work, database, interval=interval), passes


@pytest.mark.parametrize(
    "at_once",
    [True, timedelta(0), timedelta(seconds=-5), timedelta(milliseconds=3), ManualClock().now()],
    ids=["true", "zero", "past", "soon", "due"],
)
async def test_a_pass_says_when_it_wants_the_next(at_once: Any, empty_database: str) -> None:
    """True, and a time that is due soon, start the next pass long before the interval ends."""
    async with replica(empty_database) as database:
        supervised, passes = answering(database, at_once, at_once)
        async with supervising(supervised), asyncio.timeout(20):
            while len(passes) < 3:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("later", [timedelta(days=1), ManualClock().now() + timedelta(days=1), False, None])
async def test_the_interval_is_the_longest_wait(later: Any, empty_database: str) -> None:
    """A pass that wants the next one later than the interval gets it after the interval."""
    async with replica(empty_database) as database:
        supervised, passes = answering(database, later, later, interval=timedelta(milliseconds=2))
        async with supervising(supervised), asyncio.timeout(20):
            while len(passes) < 3:
                await asyncio.sleep(0.001)


async def test_a_wake_up_cuts_a_wanted_wait_short(empty_database: str) -> None:
    """A wake-up ends the wait for a requested time."""
    async with replica(empty_database) as database:
        supervised, passes = answering(database, timedelta(minutes=30))
        async with supervising(supervised), asyncio.timeout(20):
            while not supervised.passes:
                await asyncio.sleep(0.001)
            supervised._wake.set()
            while len(passes) < 2:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("nonsense", [5, "soon", datetime(2030, 1, 1)], ids=["number", "text", "naive"])
async def test_an_answer_of_another_type_is_a_failure(nonsense: Any, empty_database: str) -> None:
    """A number, or a time without a zone, fails the pass with the reason in the log."""
    with capture_logs() as lines:
        async with replica(empty_database) as database:
            supervised, _ = answering(database, nonsense)
            async with supervising(supervised), asyncio.timeout(20):
                while not supervised.passes:
                    await asyncio.sleep(0.001)
    assert [line["event"] for line in lines] == ["worker_failed", "worker_recovered"]
    assert "must return a bool, a timedelta, an aware datetime or None, not " in str(lines[0]["exc_info"])


async def test_a_singleton_gets_its_term(dsn: str) -> None:
    """A singleton whose run takes an argument has the term of its lock in each pass, a new one after a loss."""
    terms: list[Term] = []

    async def work(term: Term) -> bool:
        terms.append(term)
        return False

    async with replica(dsn) as database:
        async with database.transaction() as connection:
            await connection.exec_driver_sql("CREATE SCHEMA backend")
            await connection.run_sync(metadata.create_all)
        supervised = supervise(work, database, singleton=True)
        async with supervising(supervised), asyncio.timeout(20):
            while len(terms) < 3:
                await asyncio.sleep(0.001)
            assert set(terms) == {Term("test.worker", 1)}
            async with database.reading() as connection:
                holders = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
                await connection.execute(text(holders))
            while terms[-1].number == 1:
                await asyncio.sleep(0.001)
        assert terms[-1] == Term("test.worker", 2)


@pytest.mark.parametrize(
    ("run", "singleton", "says"),
    [
        (lambda term: None, False, "takes term: it is given nothing, for only a singleton has a term"),
        (lambda term, more: None, True, "takes term, more: it is given its term and nothing else"),
        (lambda *, term: None, False, "takes term: it is given nothing"),
        (lambda *, term: None, True, "takes term by keyword alone, and is given its term by position"),
        (lambda *, lease: None, True, "takes lease by keyword alone, and is given its term by position"),
    ],
)
def test_a_run_that_cannot_be_called_is_refused(run: Any, singleton: bool, says: str) -> None:
    """A worker whose run takes what it will not be given refuses the boot, by plugin, worker and argument."""
    worker = Worker("odd.work", run, timedelta(seconds=1), singleton=singleton)
    with pytest.raises(PluginError, match=rf"plugin 'odd': `run` of the worker 'odd.work' {says}"):
        takes_term("odd", worker)


@pytest.mark.parametrize(
    "run", [lambda: None, lambda page=1: None, lambda *args, **kwargs: None, partial(asyncio.sleep, 5)]
)
def test_a_run_without_required_arguments_gets_none(run: Any) -> None:
    """Arguments with defaults keep them."""
    for singleton in (True, False):
        assert not takes_term("odd", Worker("odd.work", run, timedelta(seconds=1), singleton=singleton))
