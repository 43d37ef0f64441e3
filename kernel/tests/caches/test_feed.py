"""The change feed: each change once, none missing, no reader delayed."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_chassis.request_context import request_context
from galaxy_contracts.database import Connection
from galaxy_kernel.caches.feed import Feed, Position, PositionLostError, erase, position, publish
from galaxy_kernel.database import Database, make_engine


@pytest.fixture
async def database(world_dsn: str) -> AsyncIterator[Database]:
    database = Database(make_engine(world_dsn), "public")
    yield database
    await database.close()


@pytest.fixture
def feed(database: Database) -> Feed:
    return Feed(database)


async def now(database: Database) -> Position:
    async with database.reading() as connection:
        return await position(connection)


class Reader:
    """Reads on from its position."""

    def __init__(self, feed: Feed, since: Position) -> None:
        self.feed, self.position = feed, since

    async def keys(self) -> list[str]:
        reading = await self.feed.read(self.position)
        self.position = reading.position
        return [change.key for change in reading.changes]


async def test_a_change_carries_what_was_written(database: Database, feed: Feed) -> None:
    """Topic, key, payload and request id are read as written; ids are those returned by `publish`, in its order."""
    start = await now(database)
    with request_context("test", "request-1"):
        async with database.transaction() as connection:
            ids = await publish(
                connection, "t", [("b", '{"a": "ü\\u0000%\\n"}'), ("a", None), ('x,"\n\\', "1"), ("b", "2")]
            )
            assert await publish(connection, "t", []) == []
    changes = (await feed.read(start)).changes
    assert ids == sorted(set(ids)) == [change.id for change in changes]
    assert [(c.topic, c.key, c.payload, c.request_id) for c in changes] == [
        ("t", "b", '{"a": "ü\\u0000%\\n"}', "request-1"),
        ("t", "a", None, "request-1"),
        ("t", 'x,"\n\\', "1", "request-1"),
        ("t", "b", "2", "request-1"),
    ]


@pytest.mark.parametrize("driver", ["aiopg", "asyncpg", "psycopg"])
async def test_every_driver(world_dsn: str, driver: str) -> None:
    """Publishing, reading and trimming work with each driver."""
    database = Database(make_engine(world_dsn.replace("postgres://", f"postgresql+{driver}://")), "public")
    feed = Feed(database)
    start = await now(database)
    async with database.transaction() as connection:
        await publish(connection, "t", [("a", "1"), ("b", None)])
    reading = await feed.read(start)
    assert [(c.key, c.payload) for c in reading.changes] == [("a", "1"), ("b", None)]
    assert (await feed.read(reading.position)).changes == []
    assert await feed.trim() is False
    await database.close()


async def test_commits_out_of_order(database: Database, feed: Feed) -> None:
    """A change with a lower id that commits later is read then, though higher ids were read before it."""
    reader = Reader(feed, await now(database))
    async with database.transaction() as late:
        await publish(late, "t", [("late", "1")])
        async with database.transaction() as early:
            await publish(early, "t", [("early", "1")])
        assert await reader.keys() == ["early"]
        assert await reader.keys() == []
    assert await reader.keys() == ["late"]
    assert await reader.keys() == []


async def test_a_long_transaction_holds_nobody_up(database: Database, feed: Feed) -> None:
    """While a transaction stays open, with changes of its own, those of others are read as they commit."""
    reader = Reader(feed, await now(database))
    async with database.transaction() as long:
        await publish(long, "t", [("long", "1")])
        for number in range(5):
            async with database.transaction() as connection:
                await publish(connection, "t", [(f"short {number}", "1")])
            assert await reader.keys() == [f"short {number}"]
    assert await reader.keys() == ["long"]


async def test_rollback(database: Database, feed: Feed) -> None:
    """What was rolled back, in whole or to a savepoint, is never read; what a released savepoint wrote is."""
    reader = Reader(feed, await now(database))
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await publish(connection, "t", [("gone", "1")])
            raise ZeroDivisionError
    async with database.transaction() as connection:
        async with connection.begin_nested():
            await publish(connection, "t", [("kept", "1")])
        savepoint = await connection.begin_nested()
        await publish(connection, "t", [("undone", "1")])
        await savepoint.rollback()
        assert await reader.keys() == []
        async with database.transaction() as other:
            await publish(other, "t", [("other", "1")])
        assert await reader.keys() == ["other"]
        async with connection.begin_nested():
            await publish(connection, "t", [("last", "1")])
    assert await reader.keys() == ["kept", "last"]


STEPS = st.lists(
    st.tuples(st.sampled_from(("publish", "savepoint", "commit", "rollback", "read 0", "read 1")), st.integers(0, 3)),
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_every_commit_is_read_once(database: Database, steps: list[tuple[str, int]]) -> None:
    """Whatever the order of writes, commits and looks: each reader reads each committed change once, and no other."""
    feed = Feed(database)
    start = await now(database)
    readers = [Reader(feed, start), Reader(feed, start)]
    read: list[list[str]] = [[], []]
    committed: list[str] = []
    async with AsyncExitStack() as stack:
        opened: dict[int, tuple[Any, Connection, list[str]]] = {}
        for place, (step, slot) in enumerate(steps):
            if step.startswith("read"):
                which = int(step[-1])
                read[which] += await readers[which].keys()
                assert sorted(read[which]) == sorted(set(read[which]) & set(committed))
                continue
            if slot not in opened:
                transaction = database.transaction()
                opened[slot] = transaction, await stack.enter_async_context(transaction), []
            transaction, connection, keys = opened[slot]
            if step == "publish":
                await publish(connection, "t", [(f"{place}", "1")])
                keys.append(f"{place}")
            elif step == "savepoint":
                async with connection.begin_nested():
                    await publish(connection, "t", [(f"{place}", "1")])
                keys.append(f"{place}")
            elif step == "commit":
                await connection.commit()
                committed += keys
                keys.clear()
            else:
                await connection.rollback()
                keys.clear()
        committed += [key for _, _, keys in opened.values() for key in keys]
    for which in (0, 1):
        read[which] += await readers[which].keys()
        assert sorted(read[which]) == sorted(committed)


async def test_another_server(database: Database, feed: Feed) -> None:
    """A position of another server, or of one restarted since, is refused."""
    start = await now(database)
    with pytest.raises(PositionLostError, match="another server"):
        await feed.read(dataclasses.replace(start, server="2001-01-01 00:00:00+00"))


async def test_an_old_position(database: Database, feed: Feed) -> None:
    """A position from which trimmed changes may be missing is refused, with its age; a younger one is not."""
    start = await now(database)
    await feed.read(dataclasses.replace(start, at=start.at - 29 * 60))
    with pytest.raises(PositionLostError, match="18[0-9][0-9] s ago"):
        await feed.read(dataclasses.replace(start, at=start.at - 31 * 60))


async def age(connection: Connection, minutes: int) -> None:
    """Make every change that the connection sees as old as that."""
    await connection.exec_driver_sql(f"UPDATE feed_changes SET at = clock_timestamp() - interval '{minutes} minutes'")


async def test_erasing(database: Database, feed: Feed) -> None:
    """Older changes of a key go with the writer's transaction; readers get the newest alone, other keys theirs."""
    start = await now(database)
    async with database.transaction() as connection:
        await publish(connection, "t", [("a", "old"), ("b", "b"), ("a", "older")])
        await publish(connection, "u", [("a", "another topic")])
    ahead = Reader(feed, start)
    await ahead.keys()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await erase(connection, "t", ["a"])
            raise ZeroDivisionError
    assert len((await feed.read(start)).changes) == 4
    async with database.transaction() as connection:
        await erase(connection, "t", ["a"])
        await publish(connection, "t", [("a", None)])
        assert len((await feed.read(start)).changes) == 4, "until the commit others read on as before"
    assert [(each.topic, each.key, each.payload) for each in (await feed.read(start)).changes] == [
        ("t", "b", "b"), ("u", "a", "another topic"), ("t", "a", None),
    ]  # fmt: skip
    assert await ahead.keys() == ["a"]


async def test_trimming_waits_for_no_writer(database: Database, feed: Feed) -> None:
    """A pass leaves out what a writer is just erasing, so that the two never wait for each other."""
    for key in ("a", "b", "c"):
        async with database.transaction() as connection:
            await publish(connection, "t", [(key, "1")])
    async with database.transaction() as connection:
        await age(connection, 61)
    async with database.transaction() as connection:
        await publish(connection, "t", [("new", "1")])
    async with database.transaction() as connection:
        await erase(connection, "t", ["a"])
        async with asyncio.timeout(5):
            await feed.trim()
        assert await kept(database) == {"a", "c", "new"}
    assert await kept(database) == {"c", "new"}


async def kept(database: Database) -> set[str]:
    async with database.reading() as connection:
        return set((await connection.exec_driver_sql("SELECT key FROM feed_changes")).scalars())


async def test_trimming(database: Database, feed: Feed) -> None:
    """Changes committed longer ago than the retention are removed; younger ones stay."""
    for key in ("a", "b", "c"):
        async with database.transaction() as connection:
            await publish(connection, "t", [(key, "1")])
    async with database.transaction() as connection:
        await age(connection, 59)
    await feed.trim()
    assert await kept(database) == {"a", "b", "c"}
    async with database.transaction() as connection:
        await age(connection, 61)
    async with database.transaction() as connection:
        await publish(connection, "t", [("new", "1")])
    await feed.trim()
    assert await kept(database) == {"c", "new"}  # c ended after its own horizon, so nothing shows yet that it is old


async def test_trimming_spares_what_committed_lately(database: Database, feed: Feed) -> None:
    """A change written long ago by a transaction that has only just committed stays for its readers."""
    async with database.transaction() as long:
        await publish(long, "t", [("long", "1")])
        await age(long, 90)
        for key in ("a", "b"):
            async with database.transaction() as connection:
                await publish(connection, "t", [(key, "1")])
                await age(connection, 80)
    await feed.trim()
    assert "long" in await kept(database)
    async with database.transaction() as connection:
        await publish(connection, "t", [("after", "1")])
        await age(connection, 70)
    await feed.trim()
    assert await kept(database) == {"after"}


async def test_trimming_by_retention(database: Database) -> None:
    """The retention is the feed's: with none, all but the last goes."""
    feed = Feed(database, retention=timedelta(0))
    for key in ("a", "b"):
        async with database.transaction() as connection:
            await publish(connection, "t", [(key, "1")])
    await asyncio.gather(feed.trim(), feed.trim())
    assert await kept(database) == {"b"}
