"""Advisory locks by names, held until the end of a transaction, and the terms of singletons."""

import asyncio

import pytest
from sqlalchemy import text

from galaxy_kernel.database import Database
from galaxy_kernel.database.locks import Lock, SupersededError, Term, advisory_lock
from galaxy_kernel.tables import metadata

HELD = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def waiting_for(database: Database, query: str, count: int = 1) -> None:
    """Wait until a query counts so many."""
    async with asyncio.timeout(20), database.reading() as connection:
        while (await connection.execute(text(query))).scalar_one() != count:
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
        await waiting_for(database, WAITING)
        await hold(database, "test/three")
        assert not rival.done()
    await rival


async def test_shared_locks_exclude_only_exclusive_ones(database: Database) -> None:
    """Any number share a name; who wants it alone waits for all of them."""
    async with database.transaction() as connection:
        await advisory_lock(connection, "test/one", shared=True)
        await hold(database, "test/one", shared=True)
        rival = asyncio.create_task(hold(database, "test/one"))
        await waiting_for(database, WAITING)
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


@pytest.fixture
async def terms(database: Database) -> Database:
    """Return a database with the kernel's tables."""
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    return database


async def cut_the_holder(database: Database) -> None:
    """End the session that holds an advisory lock, as a network that fails does."""
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
    async with database.reading() as connection:
        assert (await connection.execute(text(query))).scalars().all() == [True]


async def write(database: Database, term: Term, *waits: asyncio.Event) -> None:
    """Write within a term, and stop before the commit until told to go on."""
    async with database.transaction() as connection:
        await term.check(connection)
        for wait in waits:
            await wait.wait()


async def test_terms_grow_with_every_holder(terms: Database) -> None:
    """Each holder has one term for as long as it holds the lock, with a number above every former one."""
    first, second, other = Lock(terms, "test.one"), Lock(terms, "test.one"), Lock(terms, "test.two")
    numbers = []
    for lock in (first, second, first):
        async with asyncio.timeout(20):
            while not await lock.held():
                await asyncio.sleep(0.01)
        numbers.append((await lock.term()).number)
        assert await lock.held()
        assert await lock.term() == Term("test.one", numbers[-1])
        await lock.release()
    assert numbers == [1, 2, 3]
    assert await other.held()
    assert (await other.term()).number == 1
    await other.release()
    with pytest.raises(RuntimeError, match="'test.two' is not held"):
        await other.term()


async def test_a_superseded_holder_writes_nothing(terms: Database) -> None:
    """A holder that lost its lock while it was paused finds its term over, and its transaction is rolled back."""
    paused, successor = Lock(terms, "test.one"), Lock(terms, "test.one")
    assert await paused.held()
    old = await paused.term()
    await write(terms, old)
    await cut_the_holder(terms)
    assert await successor.held()
    await write(terms, old)  # no other replica has begun a term yet, so it cannot interfere with one
    await write(terms, await successor.term())
    async with terms.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE written (n int)")
    with pytest.raises(SupersededError, match="term 1 of 'test.one' is over: another replica has term 2"):
        async with terms.transaction() as connection:
            await connection.exec_driver_sql("INSERT INTO written VALUES (1)")
            await old.check(connection)
    async with terms.reading() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM written")).scalar_one() == 0
    await successor.release()
    await paused.release()


async def test_no_term_begins_inside_a_checked_transaction(terms: Database) -> None:
    """The next holder waits until a transaction that has checked its term has ended."""
    here, there = Lock(terms, "test.one"), Lock(terms, "test.one")
    assert await here.held()
    old, go_on = await here.term(), asyncio.Event()
    writing = asyncio.create_task(write(terms, old, go_on))
    await waiting_for(terms, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
    await cut_the_holder(terms)
    assert await there.held()
    beginning = asyncio.create_task(there.term())
    await waiting_for(terms, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    assert not beginning.done()
    go_on.set()
    await writing
    assert (await beginning).number == old.number + 1
    await there.release()
    await here.release()


async def test_a_check_needs_a_transaction(terms: Database) -> None:
    """A check that locks nothing until the commit is refused."""
    async with terms.reading() as connection:
        with pytest.raises(RuntimeError, match=r"Term.check needs a transaction"):
            await Term("test.one", 1).check(connection)
