"""Where transactions begin and end, and what runs after a commit."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from galaxy_kernel.database import Connection, Database, after_commit, sqlstate, unique_violation

INSERT = text("INSERT INTO t VALUES (:id)")


@pytest.fixture(autouse=True)
async def table(database: Database) -> None:
    """Have a table `t (id int primary key)`."""
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY)")


async def insert(connection: Connection, number: int) -> None:
    await connection.execute(INSERT, {"id": number})


async def rows(database: Database) -> list[int]:
    async with database.reading() as connection:
        return list((await connection.execute(text("SELECT id FROM t ORDER BY id"))).scalars())


async def test_a_block_commits(database: Database) -> None:
    """A block's writes are visible after it, in the schema of the DSN, and not before."""
    async with database.transaction() as connection:
        await insert(connection, 1)
        assert await rows(database) == []
    assert await rows(database) == [1]
    async with database.reading() as other:
        assert (await other.execute(text("SELECT count(*) FROM backend.t"))).scalar_one() == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
async def test_an_exception_rolls_back(database: Database, error: type[BaseException]) -> None:
    """Any exception out of the block rolls back, is passed on, and no action runs."""
    ran: list[int] = []
    with pytest.raises(error):
        async with database.transaction() as connection:
            after_commit(connection, lambda: ran.append(1))
            await insert(connection, 1)
            raise error
    assert await rows(database) == []
    assert ran == []


async def test_actions_run_in_order_after_the_commit(database: Database) -> None:
    """Actions run in order of registration, when the rows are visible, before the block is left."""
    ran: list[Any] = []
    async with database.transaction() as connection:
        after_commit(connection, lambda: ran.append("first"))
        await insert(connection, 1)
        after_commit(connection, lambda: ran.append("second"))
        assert ran == []
    assert ran == ["first", "second"]


async def test_no_other_task_runs_between_commit_and_actions(database: Database) -> None:
    """From the answer to the COMMIT on, no other task sees the database ahead of memory."""
    memory: set[int] = set()
    behind: list[set[int]] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            before = set(await rows(database))
            if not before <= memory | {max(memory, default=-1) + 1}:
                behind.append(before)

    watcher = asyncio.create_task(watch())
    for number in range(30):
        async with database.transaction() as connection:
            await insert(connection, number)
            after_commit(connection, partial(memory.add, number))
        assert number in memory
    done.set()
    await watcher
    assert behind == []


async def test_a_failing_action_stops_nobody(database: Database) -> None:
    """An action that raises is logged with its name; the others run and the block ends well."""
    ran: list[int] = []

    def broken() -> None:
        raise ValueError("no")

    with capture_logs() as logs:
        async with database.transaction() as connection:
            after_commit(connection, broken)
            after_commit(connection, lambda: ran.append(1))
            await insert(connection, 1)
    assert ran == [1]
    assert [entry["event"] for entry in logs] == ["after_commit_failed"]
    assert "broken" in logs[0]["action"]


async def test_actions_do_not_leak(database: Database) -> None:
    """Transactions that take turns on one pooled connection share no actions."""
    ran: list[str] = []
    with pytest.raises(ValueError, match="out"):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            after_commit(connection, lambda: ran.append("rolled back"))
            raise ValueError("out")
    for name in ("a", "b"):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            after_commit(connection, partial(ran.append, name))
    assert ran == ["a", "b"]


async def test_actions_of_a_savepoint(database: Database) -> None:
    """A savepoint that is rolled back drops its actions and those of savepoints in it, and no others."""
    ran: list[str] = []
    async with database.transaction() as connection:
        after_commit(connection, lambda: ran.append("before"))
        with pytest.raises(DBAPIError) as caught:
            async with connection.begin_nested():
                after_commit(connection, lambda: ran.append("dropped"))
                async with connection.begin_nested():
                    after_commit(connection, lambda: ran.append("dropped with its parent"))
                await insert(connection, 1)
                await insert(connection, 1)
        assert unique_violation(caught.value) == "t_pkey"
        async with connection.begin_nested():
            after_commit(connection, lambda: ran.append("kept"))
            await insert(connection, 2)
        savepoint = await connection.begin_nested()
        after_commit(connection, lambda: ran.append("dropped by hand"))
        await insert(connection, 3)
        await savepoint.rollback()
        after_commit(connection, lambda: ran.append("after"))
    assert ran == ["before", "kept", "after"]
    assert await rows(database) == [2]


async def test_a_savepoint_first(database: Database) -> None:
    """A transaction may begin with a savepoint, and the savepoint may fail with its first statement."""
    async with database.transaction() as connection:
        for statement in ("SELECT 1/0", "no SQL at all"):
            with pytest.raises(DBAPIError):
                async with connection.begin_nested():
                    await connection.exec_driver_sql(statement)
        await insert(connection, 1)
    assert await rows(database) == [1]


async def test_only_inside_a_transaction(database: Database) -> None:
    """Registering anywhere else says what to do instead."""
    async with database.reading() as connection:
        with pytest.raises(RuntimeError, match="needs a transaction"):
            after_commit(connection, lambda: None)
    async with database.transaction() as connection:
        pass
    with pytest.raises(RuntimeError, match="needs a transaction"):
        after_commit(connection, lambda: None)
    async with database.transaction() as connection:
        with pytest.raises(RuntimeError, match="begin_nested"):
            connection.begin()


async def test_an_action_without_a_statement(database: Database) -> None:
    """A block that did nothing commits nothing, and its actions run."""
    ran: list[int] = []
    async with database.transaction() as connection:
        after_commit(connection, lambda: ran.append(1))
    assert ran == [1]


@pytest.mark.parametrize("failing", ["no SQL at all", "SELECT 1/0", "INSERT INTO t VALUES (1)"])
@pytest.mark.parametrize("first", [True, False])
async def test_a_failed_transaction_does_not_commit(database: Database, failing: str, first: bool) -> None:
    """After a failed statement nothing more is done, and the end of the block raises even when the error was caught."""
    ran: list[int] = []
    async with database.transaction() as connection:
        await insert(connection, 1)
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction() as connection:
            after_commit(connection, lambda: ran.append(1))
            if not first:
                await insert(connection, 2)
            with pytest.raises(DBAPIError):
                await connection.exec_driver_sql(failing)
            with pytest.raises(DBAPIError) as ignored:
                await insert(connection, 3)
            assert sqlstate(ignored.value) == "25P02"
    assert sqlstate(caught.value) == "25P02"
    assert ran == []
    assert await rows(database) == [1]
    async with database.transaction() as connection:
        await insert(connection, 4)
    assert await rows(database) == [1, 4]


async def test_a_commit_that_fails(database: Database) -> None:
    """When the COMMIT itself is refused, it raises, no action runs, and the connection serves the next."""
    ran: list[int] = []
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE u (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction() as connection:
            after_commit(connection, lambda: ran.append(1))
            await connection.exec_driver_sql("INSERT INTO u VALUES (1), (1)")
    assert unique_violation(caught.value) == "u_id_key"
    assert ran == []
    async with database.transaction() as connection:
        await insert(connection, 1)
    assert await rows(database) == [1]


async def test_reading_begins_nothing(database: Database) -> None:
    """Each statement of a reading block sees what was committed just before it."""
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 0
        async with database.transaction() as other:
            await insert(other, 1)
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 1
        with pytest.raises(DBAPIError):
            await connection.exec_driver_sql("SELECT 1/0")
        stamps = [(await connection.execute(text("SELECT now()"))).scalar_one() for _ in range(2)]
    assert stamps[0] < stamps[1]


async def test_an_isolation_level(database: Database) -> None:
    """A block may ask for another isolation level before its first statement; the next has the default again."""
    level = text("SELECT current_setting('transaction_isolation')")
    async with database.transaction() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")
        assert (await connection.execute(level)).scalar_one() == "serializable"
    async with database.transaction() as connection:
        assert (await connection.execute(level)).scalar_one() == "read committed"


async def test_ping_and_close(database: Database) -> None:
    """A ping asks the server; after a close the pool opens new connections."""
    await database.ping()
    await database.close()
    await database.ping()
