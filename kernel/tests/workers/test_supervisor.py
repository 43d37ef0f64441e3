"""What becomes of a worker's passes, and what its health tells."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import timedelta

import pytest
import structlog

from galaxy_chassis.clock import ManualClock
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.workers.supervisor import LONGEST_PASS, Span, Supervised
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


def supervise(
    run: Callable[[], Awaitable[None]], database: Database, clock: ManualClock, span: Span = lambda *_: nullcontext()
) -> Supervised:
    """Return a worker under supervision, which does not run yet."""
    return Supervised(
        "test",
        Worker("test.worker", run, interval=timedelta(seconds=1)),
        database=database,
        wakeups=Wakeups(database, silent=True),
        clock=clock,
        random=random.Random(1),
        log=structlog.get_logger(),
        span=span,
    )


async def test_a_pass_that_fails_has_a_span_that_says_so(empty_database: str) -> None:
    """The error goes through the span of its pass, whose trace would else look well, and no further."""
    seen: list[str] = []
    failed = asyncio.Event()

    @contextmanager
    def span(_plugin: str, worker: str) -> Iterator[None]:
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


async def test_a_pass_that_does_not_end_is_told(empty_database: str) -> None:
    """A worker stuck in a pass fails its check, which a pass that ends does not."""
    clock, stuck = ManualClock(), asyncio.Event()

    async def hang() -> None:
        await stuck.wait()

    async with replica(empty_database) as database:
        supervised = supervise(hang, database, clock)
        task = asyncio.create_task(supervised.run())
        await asyncio.sleep(0)
        clock.advance(timedelta(seconds=LONGEST_PASS))
        assert (await supervised.health()).state == "ok"
        clock.advance(timedelta(seconds=1))
        assert "has not ended for 301 s" in (await supervised.health()).detail
        stuck.set()
        supervised.stop()
        await task
        assert (await supervised.health()).state == "ok"
