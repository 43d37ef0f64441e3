"""The mended connection itself: one task at a time, pings, cancellations, and its own end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.database.aiopg import connection as under_test


async def raw(connection: Connection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def test_a_rested_connection_is_asked(
    database: Database, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was idle for longer than PING_AFTER is pinged before use."""
    monkeypatch.setattr(under_test, "PING_AFTER", 0.0)
    async with database.reading() as connection:
        await connection.execute(text("SELECT 2"))
    assert sent == ["SELECT 1", "SELECT 2"]


async def test_a_write_can_be_cancelled(database: Database) -> None:
    """A task cancelled while a large statement is being sent leaves the pool complete."""
    payload = "x" * 30_000_000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02), database.reading() as connection:
            await connection.execute(text("SELECT length(:payload), pg_sleep(20)"), {"payload": payload})
    await database.ping()


async def test_one_task_at_a_time(database: Database) -> None:
    """Two tasks on one connection take turns in SQLAlchemy, and below it the second is refused."""
    async with database.reading() as connection:
        both = await asyncio.gather(*(connection.execute(text("SELECT 1")) for _ in range(2)))
        assert [found.scalar_one() for found in both] == [1, 1]
        driver = await raw(connection)
        slow = asyncio.create_task(driver.run(driver.raw.cursor(), "SELECT pg_sleep(0.1)"))
        await asyncio.sleep(0)
        with pytest.raises(psycopg2.ProgrammingError, match="another task"):
            await driver.run(driver.raw.cursor(), "SELECT 1")
        await slow


async def test_a_dropped_connection_closes_itself(empty_database: str) -> None:
    """A connection that is no longer referenced closes silently."""
    engine = make_engine(empty_database)
    connection = await engine.connect()
    driver = await raw(connection)
    detached = await connection.get_raw_connection()
    detached.detach()
    psycopg2_connection = driver.raw
    del driver, detached
    await connection.close()
    del connection
    assert psycopg2_connection.closed
    await engine.dispose()


@pytest.fixture
async def connection(empty_database: str) -> AsyncIterator[under_test.Connection]:
    """Return a connection by itself, without SQLAlchemy."""
    connection = await under_test.Connection.open(**psycopg2.extensions.parse_dsn(empty_database))
    yield connection
    await connection.give_up()


async def test_notifications_reach_the_listener(connection: under_test.Connection) -> None:
    """Payloads come in order, without anybody asking."""
    heard: list[str] = []
    all_heard = asyncio.Event()

    def on_notify(payload: str) -> None:
        heard.append(payload)
        if len(heard) == 2:
            all_heard.set()

    connection.on_notify = on_notify
    for statement in ("LISTEN c", "NOTIFY c, 'one'", "NOTIFY c, 'two'"):
        await connection.run(connection.raw.cursor(), statement)
    async with asyncio.timeout(10):
        await all_heard.wait()
    assert heard == ["one", "two"]


async def test_an_error_of_a_statement_leaves_the_connection(connection: under_test.Connection) -> None:
    """The server's complaint is raised, and the next statement runs."""
    with pytest.raises(psycopg2.errors.DivisionByZero):
        await connection.run(connection.raw.cursor(), "SELECT 1 / 0")
    cursor = connection.raw.cursor()
    await connection.run(cursor, "SELECT %s", (7,))
    assert cursor.fetchone() == (7,)
    assert not connection.ended.is_set()


async def test_the_servers_end_is_noticed_without_asking(
    connection: under_test.Connection, empty_database: str
) -> None:
    """Whoever waits for the end hears of it, and a ping says so."""
    with contextlib.closing(psycopg2.connect(empty_database)) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (connection.raw.info.backend_pid,))
    async with asyncio.timeout(10):
        await connection.ended.wait()
    with pytest.raises(psycopg2.OperationalError):
        await connection.ping()


async def test_giving_up_ends_it_and_who_waits(connection: under_test.Connection) -> None:
    """A statement under way is cancelled, its waiter told; giving up twice is fine."""
    waiting = asyncio.create_task(connection.run(connection.raw.cursor(), "SELECT pg_sleep(20)"))
    await asyncio.sleep(0)
    await connection.give_up()
    with pytest.raises(psycopg2.Error):
        await waiting
    assert connection.ended.is_set()
    await connection.give_up()


@pytest.mark.parametrize(
    ("host", "found"), [(None, [{}]), ("", [{}]), ("/run/pg", [{}]), ("a,b", [{}]), ("127.0.0.1", [{}]), ("::1", [{}])]
)
async def test_only_names_are_resolved(host: str | None, found: list[Any]) -> None:
    """Addresses, sockets and lists are left to libpq, which does not wait for them."""
    assert await under_test._addresses(host, None) == found


async def test_a_name_is_resolved_to_each_of_its_addresses_once() -> None:
    """One that nobody knows is an unreachable server."""
    found = await under_test._addresses("localhost", 5432)
    assert {"hostaddr": "127.0.0.1"} in found or {"hostaddr": "::1"} in found
    assert len({each["hostaddr"] for each in found}) == len(found)
    with pytest.raises(psycopg2.OperationalError, match="could not translate"):
        await under_test._addresses("nobody.invalid", None)
