"""The lock of a singleton: who holds it, what it costs, and how it is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import text

from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.database.locks import Lock

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


async def taken(*locks: Lock) -> None:
    """Wait until all are held: the server ends a session, and with it a lock, in its own time."""
    async with asyncio.timeout(20):
        while not all([await lock.held() for lock in locks]):
            await asyncio.sleep(0.01)


async def test_locks_cost_the_pool_nothing(dsn: str) -> None:
    """However many singletons a replica runs, its pool stays whole, and only it holds their locks."""
    async with replica(dsn) as here, replica(dsn) as there:
        held, wanted = [Lock(here, f"test.{n}") for n in range(3)], [Lock(there, f"test.{n}") for n in range(3)]
        assert [await lock.held() for lock in held] == [True] * 3
        assert [await lock.held() for lock in wanted] == [False] * 3
        assert [await lock.held() for lock in held] == [True] * 3
        await here.ping()
        await there.ping()
        for lock in held:
            await lock.release()
        await taken(*wanted)
        for lock in wanted:
            await lock.release()


async def test_a_lost_connection_frees_the_lock(dsn: str) -> None:
    """A lock whose connection was cut is another replica's at once, and its old holder learns that it has lost it."""
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(replica(dsn)) for _ in range(2)]
        first, second = Lock(here, "test.one"), Lock(there, "test.one")
        assert await first.held()
        async with there.reading() as connection:
            holders = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
            assert (await connection.execute(text(holders))).scalars().all() == [True]
        assert await second.held()
        with pytest.raises(Exception) as lost:
            await first.held()
        assert not isinstance(lost.value, asyncio.CancelledError)
        assert not await first.held()
        await second.release()
        await taken(first)
        await first.release()


async def test_locks_of_two_names_and_of_two_schemas_are_apart(dsn: str) -> None:
    """Two backends may share one database, each in its schema."""
    base, _, _ = dsn.partition("?")
    async with replica(dsn) as here, replica(dsn) as there, replica(f"{base}?search_path=another") as other:
        async with here.transaction() as connection:
            await connection.exec_driver_sql("CREATE SCHEMA another")
        locks = [Lock(here, "test.one"), Lock(there, "test.two"), Lock(other, "test.one")]
        assert [await lock.held() for lock in locks] == [True] * 3
        for lock in locks:
            await lock.release()


async def test_releasing_what_is_not_held_is_fine(dsn: str) -> None:
    """Whoever stops need not know whether it held the lock, and may take it again later."""
    async with replica(dsn) as here, replica(dsn) as there:
        lock, other = Lock(here, "test.one"), Lock(there, "test.one")
        await lock.release()
        assert await lock.held()
        assert not await other.held()
        await other.release()
        assert await lock.held()
        await lock.release()
        await lock.release()
        await taken(lock)
        await lock.release()
