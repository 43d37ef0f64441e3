"""Advisory locks by names, held until the end of a transaction."""

import asyncio

import pytest
from sqlalchemy import text

from galaxy_kernel.database import Database
from galaxy_kernel.database.locks import advisory_lock

HELD = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


async def waiting(database: Database, count: int) -> None:
    """Wait until so many wait for a lock."""
    async with asyncio.timeout(20), database.reading() as connection:
        while (await connection.execute(WAITING)).scalar_one() != count:
            await asyncio.sleep(0.005)


async def hold(database: Database, *names: str, shared: bool = False) -> None:
    async with database.transaction() as connection:
        await advisory_lock(connection, *names, shared=shared)


async def test_locks_exclude_until_the_transaction_ends(database: Database) -> None:
    """Who wants one of the names waits for the commit of who holds it; who wants another does not."""
    async with database.transaction() as connection:
        await advisory_lock(connection, "test/one", "test/two", "test/one")
        assert (await connection.execute(HELD)).scalar_one() == 2
        rival = asyncio.create_task(hold(database, "test/zero", "test/two"))
        await waiting(database, 1)
        await hold(database, "test/three")
        assert not rival.done()
    await rival


async def test_shared_locks_exclude_only_exclusive_ones(database: Database) -> None:
    """Any number share a name; who wants it alone waits for all of them."""
    async with database.transaction() as connection:
        await advisory_lock(connection, "test/one", shared=True)
        await hold(database, "test/one", shared=True)
        rival = asyncio.create_task(hold(database, "test/one"))
        await waiting(database, 1)
    await rival


async def test_calls_never_deadlock(database: Database) -> None:
    """However the names of a call are given, they are taken in one order."""
    names = [f"test/{number}" for number in range(20)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(hold(database, *(names if turn % 2 else reversed(names))) for turn in range(60)))


async def test_schemas_do_not_meet(dsn: str, database: Database) -> None:
    """Two backends in one database, each in a schema of its own, never wait for each other."""
    async with database.transaction() as connection, database.transaction() as other:
        await other.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS elsewhere")
        await other.exec_driver_sql("SET LOCAL search_path = elsewhere")
        await connection.exec_driver_sql("SET LOCAL search_path = backend")
        await advisory_lock(connection, "test/one")
        async with asyncio.timeout(20):
            await advisory_lock(other, "test/one")
        await other.rollback()


async def test_no_names_lock_nothing(database: Database) -> None:
    """A call for nothing is fine."""
    await hold(database)


async def test_outside_a_transaction_it_is_refused(database: Database) -> None:
    """A lock that would end with its statement protects nothing."""
    async with database.reading() as connection:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="needs a transaction"):
                await advisory_lock(connection, "test/one")
            await connection.exec_driver_sql("SELECT 1")
