"""What must hold when tasks are cancelled and servers die: on each driver, on each event loop."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.database import Database, after_commit, is_unavailable, make_engine, sqlstate

Run = Callable[[Coroutine[Any, Any, None]], None]

SLOW_COMMIT = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly()
"""


@contextlib.asynccontextmanager
async def opened(dsn: str, **options: Any) -> AsyncIterator[Database]:
    """Open a database with nothing but a table `t (id int)` in its schema."""
    async with administered(dsn) as admin, admin.transaction() as connection:
        await connection.exec_driver_sql("DROP SCHEMA IF EXISTS backend CASCADE")
        await connection.exec_driver_sql("CREATE SCHEMA backend")
        await connection.exec_driver_sql("CREATE TABLE t (id int)")
    database = Database(make_engine(dsn, **{"pool_size": 4, **options}), "backend")
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def administered(dsn: str) -> AsyncIterator[Database]:
    """Open the same database a second time."""
    database = Database(make_engine(dsn, pool_size=1, application_name="admin"), "backend")
    try:
        yield database
    finally:
        await database.close()


async def rows(database: Database) -> set[int]:
    """Return what is committed."""
    async with database.reading() as connection:
        return set((await connection.execute(text("SELECT id FROM t"))).scalars())


async def answers(database: Database) -> bool:
    """Return whether the server answers."""
    with contextlib.suppress(Exception):
        await database.ping()
        return True
    return False


def wait_for_end(pid: int) -> None:
    """Wait for a process to end, and keep the event loop from seeing anything before that."""
    with contextlib.suppress(ProcessLookupError):
        for _ in range(1000):
            os.kill(pid, 0)
            time.sleep(0.01)


async def sleeping(database: Database) -> list[int]:
    """Return the server's processes that execute our pg_sleep."""
    query = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
    async with database.reading() as connection:
        return list((await connection.execute(text(query))).scalars())


async def until(condition: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Wait until the condition is true, far less than a query sleeps, and as long as a busy machine may need."""
    async with asyncio.timeout(60):
        while not (found := await condition()):  # the condition changes in the server
            await asyncio.sleep(0.01)
        return found


async def nobody_sleeps(database: Database) -> None:
    async def nobody() -> bool:
        return not await sleeping(database)

    await until(nobody)


async def kill_others(database: Database) -> int:
    """End every other connection to this database, and wait for their ends."""
    query = """SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
    async with database.reading() as connection:
        return int((await connection.execute(text(query))).scalar_one())


async def whole(database: Database) -> None:
    """Assert that every connection of the pool is free and works, and that no other remains."""
    pool = database.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0
    together = asyncio.Barrier(pool.size())

    async def use() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await together.wait()

    async with asyncio.timeout(60):
        await asyncio.gather(*(use() for _ in range(pool.size())))
    count = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = current_setting('application_name')"""

    async def none_too_many() -> bool:  # a process on the server takes a moment to end
        async with database.reading() as connection:
            return int((await connection.execute(text(count))).scalar_one()) <= pool.size()

    await until(none_too_many)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def write_and_sleep(database: Database, number: int, acknowledged: Callable[[], None] = lambda: None) -> None:
    async with database.transaction() as connection:
        after_commit(connection, acknowledged)
        await connection.execute(text("INSERT INTO t VALUES (:id)"), {"id": number})
        await connection.execute(text("SELECT pg_sleep(600)"))


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Return the port of a server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Return a port that refuses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_cancelled_query_ends_on_the_server_and_rolls_back(dsn: str, run: Run) -> None:
    """A task cancelled in mid-query ends, its query does long before its time, and nothing of it is committed."""

    async def scenario() -> None:
        async with opened(dsn) as database:
            task = asyncio.create_task(write_and_sleep(database, 1))
            await until(lambda: sleeping(database))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await nobody_sleeps(database)
            assert await rows(database) == set()
            await whole(database)

    run(scenario())


def test_a_cancelled_read_ends_on_the_server(dsn: str, run: Run) -> None:
    """The same holds without a transaction."""

    async def scenario() -> None:
        async with opened(dsn) as database:

            async def read() -> None:
                async with database.reading() as connection:
                    await connection.execute(text("SELECT pg_sleep(600)"))

            task = asyncio.create_task(read())
            await until(lambda: sleeping(database))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await nobody_sleeps(database)
            await whole(database)

    run(scenario())


def test_killed_idle_connections_are_replaced(dsn: str, run: Run) -> None:
    """After every idle connection was ended by the server, the next uses succeed."""

    async def scenario() -> None:
        async with opened(dsn) as database, administered(dsn) as admin:
            await whole(database)
            assert await kill_others(admin) >= 3
            await rows(database)
            await whole(database)

    run(scenario())


def test_a_killed_busy_connection_is_an_unavailable_database(dsn: str, run: Run) -> None:
    """A query during which the server ended the connection raises, and the next use succeeds."""

    async def scenario() -> None:
        async with opened(dsn) as database, administered(dsn) as admin:
            task = asyncio.create_task(write_and_sleep(database, 1))
            await until(lambda: sleeping(admin))
            await kill_others(admin)
            with pytest.raises(DBAPIError) as caught:
                await task
            assert is_unavailable(caught.value)
            assert await rows(database) == set()
            await whole(database)

    run(scenario())


def test_the_last_words_of_a_server_that_dies(dsn: str, run: Run) -> None:
    """A warning and the end of the connection that arrive together end the waiting, as an unavailable database."""

    async def main() -> None:
        async with opened(dsn) as database:
            with pytest.raises(Exception) as lost:
                async with database.reading() as connection, asyncio.timeout(60):
                    pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                    os.kill(pid, signal.SIGSTOP)
                    asking = asyncio.ensure_future(connection.execute(text("SELECT 1")))
                    await asyncio.sleep(0.1)
                    os.kill(pid, signal.SIGQUIT)  # it leaves our statement unread: the connection is reset
                    os.kill(pid, signal.SIGCONT)
                    wait_for_end(pid)
                    await asking
            assert not isinstance(lost.value, TimeoutError)
            assert is_unavailable(lost.value)
            async with asyncio.timeout(20):
                while not await answers(database):  # it restarts with all its processes
                    await asyncio.sleep(0.1)

    run(main())


def test_a_dead_connection_frees_its_place_at_once(dsn: str, run: Run) -> None:
    """A task that waits for the only connection gets a new one as soon as a dead one is returned."""

    async def scenario() -> None:
        async with opened(dsn, pool_size=1, pool_timeout=60) as database, administered(dsn) as admin:
            holder = asyncio.create_task(write_and_sleep(database, 1))
            await until(lambda: sleeping(admin))
            waiter = asyncio.create_task(rows(database))
            await asyncio.sleep(0.05)
            await kill_others(admin)
            with pytest.raises(DBAPIError):
                await holder
            async with asyncio.timeout(20):  # less than the pool waits for a place
                assert await waiter == set()

    run(scenario())


def test_a_full_pool_is_an_unavailable_database(dsn: str, run: Run) -> None:
    """Waiting too long for a free connection raises, and the pool stays complete."""

    async def scenario() -> None:
        async with opened(dsn, pool_size=1, pool_timeout=0.1) as database:
            async with database.transaction():
                with pytest.raises(Exception) as caught:  # which one is the assertion
                    await database.ping()
                assert is_unavailable(caught.value)
            await whole(database)

    run(scenario())


def test_the_server_restarts(dsn: str, run: Run, postgres_cluster: PostgresCluster) -> None:
    """While the server is down every use is unavailable without waiting; once it is up again it succeeds."""

    async def scenario() -> None:
        async with opened(dsn, connect_timeout=3600, pool_timeout=3600) as database:  # a use that waited would hang
            await whole(database)
            await postgres_cluster.server.stop()
            try:
                for _ in range(6):
                    with pytest.raises(DBAPIError) as caught:
                        await database.ping()
                    assert is_unavailable(caught.value)
            finally:
                await postgres_cluster.server.start()
            assert await rows(database) == set()
            await whole(database)

    run(scenario())


def test_a_statement_timeout_is_an_error(dsn: str, run: Run) -> None:
    """A statement that takes too long is an error in its TaskGroup, and never looks like a cancellation."""

    async def scenario() -> None:
        async with opened(dsn, statement_timeout=0.2) as database:
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(write_and_sleep(database, 1))
            (error,) = caught.value.exceptions
            assert sqlstate(error) == "57014"
            assert not is_unavailable(error)
            assert await rows(database) == set()
            await whole(database)

    run(scenario())


def test_a_storm_of_cancellations(dsn: str, run: Run) -> None:
    """Of 1,500 tasks cancelled at any moment, exactly those whose commit succeeded are in the database."""

    async def scenario() -> None:
        moments = random.Random(7)
        told: set[int] = set()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        working: set[asyncio.Task[None]] = set()

        spared: set[asyncio.Task[None]] = set()

        def step() -> None:
            """Cancel tasks soon, each once: by steps, since times vary on a busy machine; often one that is working."""
            for among, chance in ((working & spared, 0.08), (spared, 0.6)):
                if among and moments.random() < chance:
                    victim = moments.choice(list(among))
                    spared.discard(victim)
                    loop.call_later(moments.uniform(0, 0.004), victim.cancel)

        async def work(database: Database, number: int) -> None:
            async with database.transaction() as connection:
                task = tasks[number - 1]
                working.add(task)
                try:
                    after_commit(connection, lambda: told.add(number))
                    for half in (number, -number):
                        await connection.execute(text("INSERT INTO t VALUES (:id)"), {"id": half})
                        step()
                finally:
                    loop.call_later(0.002, working.discard, task)

        async with opened(dsn, pool_size=8, pool_timeout=60) as database:
            tasks += [asyncio.create_task(work(database, number)) for number in range(1, 1501)]
            spared |= set(tasks)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError, type(None)}
            assert 100 < len(told) < 1400
            assert await rows(database) == told | {-number for number in told}
            await whole(database)

    run(scenario())


@pytest.mark.parametrize("cancellations", [1, 2])
def test_a_cancelled_commit_is_known(dsn: str, run: Run, cancellations: int) -> None:
    """A task cancelled in its COMMIT waits for the outcome, and memory follows; cancelled twice, it does not wait."""

    async def scenario() -> None:
        told: list[int] = []

        async def work(database: Database) -> None:
            async with database.transaction() as connection:
                after_commit(connection, lambda: told.append(1))
                await connection.execute(text("INSERT INTO t VALUES (1)"))

        async with opened(dsn) as database:
            async with database.transaction() as connection:
                for statement in SLOW_COMMIT.strip().split(";\n"):
                    await connection.exec_driver_sql(statement)
            task = asyncio.create_task(work(database))
            await until(lambda: sleeping(database))
            for _ in range(cancellations):
                task.cancel()
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert told == ([1] if cancellations == 1 else [])
            await nobody_sleeps(database)
            assert await rows(database) == set(told)
            await whole(database)

    run(scenario())


def test_a_connection_lost_in_its_commit(dsn: str, run: Run) -> None:
    """When the connection dies during the COMMIT, the task gets the error and no action runs."""

    async def scenario() -> None:
        told: list[int] = []

        async def work(database: Database) -> None:
            async with database.transaction() as connection:
                after_commit(connection, lambda: told.append(1))
                await connection.execute(text("INSERT INTO t VALUES (1)"))

        async with opened(dsn) as database, administered(dsn) as admin:
            async with database.transaction() as connection:
                for statement in SLOW_COMMIT.strip().split(";\n"):
                    await connection.exec_driver_sql(statement)
            task = asyncio.create_task(work(database))
            await until(lambda: sleeping(admin))
            await kill_others(admin)
            with pytest.raises(DBAPIError) as caught:
                await task
            assert is_unavailable(caught.value)
            assert told == []
            await whole(database)

    run(scenario())


def test_the_second_host_serves(dsn: str, run: Run, closed_port: int) -> None:
    """When the first host of the DSN refuses, the second is used."""

    async def scenario() -> None:
        async with opened(dsn.replace("@", f"@127.0.0.1:{closed_port},")) as database:
            assert await rows(database) == set()

    run(scenario())


def test_a_host_that_says_nothing(dsn: str, run: Run, silent_server: int) -> None:
    """A server that accepts the connection and sends nothing costs one time-out; the next host is used."""

    async def scenario() -> None:
        head, _, tail = dsn.rpartition("@")
        alone = f"{head}@127.0.0.1:{silent_server}/{tail.partition('/')[2]}"
        for address, serves in ((alone, False), (f"{head}@127.0.0.1:{silent_server},{tail}", True)):
            database = Database(make_engine(address, connect_timeout=0.3), "backend")
            if serves:
                await database.ping()
            else:
                with pytest.raises(DBAPIError) as caught:
                    await database.ping()
                assert is_unavailable(caught.value)
                assert str(caught.value.orig).count("within 0.3 s") == 1
            await database.close()

    run(scenario())


def test_cancelled_while_connecting(dsn: str, run: Run, silent_server: int) -> None:
    """A task cancelled while it connects leaves no descriptor open."""

    async def scenario() -> None:
        head, _, tail = dsn.rpartition("@")
        database = Database(make_engine(f"{head}@127.0.0.1:{silent_server}/{tail.partition('/')[2]}"), "backend")

        async def attempt() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await database.ping()

        async def descriptors() -> int:
            await asyncio.sleep(0.05)
            return open_descriptors()

        await attempt()
        before = await descriptors()
        for _ in range(5):
            await attempt()
        assert await descriptors() <= before

    run(scenario())
