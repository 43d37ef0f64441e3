"""Replicas of one backend in one process: each with a database, wake-ups, caches and facts of its own."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg2
import pytest
import sqlalchemy as sa

from galaxy_chassis.clock import SystemClock
from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.caches.feed import Feed
from galaxy_kernel.caches.registry import Cache, Caches
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.facts import Facts
from galaxy_kernel.tables import metadata as kernel_metadata
from galaxy_kernel.wakeups import Wakeups

metadata = sa.MetaData()
items = sa.Table(
    "items",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("token", sa.LargeBinary),
    sa.Column("seen_at", sa.DateTime(timezone=True)),
    # refused only by the COMMIT
    sa.UniqueConstraint("name", deferrable=True, initially="DEFERRED"),
)
gates = sa.Table("gates", metadata, sa.Column("name", sa.Text, primary_key=True))
effects = sa.Table("effects", metadata, sa.Column("what", sa.Text), sa.Column("id", sa.BigInteger, sa.Identity()))


class Item(msgspec.Struct, frozen=True):
    """A row of the cached table."""

    id: UUID
    name: str
    version: int
    token: bytes | None = None
    seen_at: datetime | None = None


class Gate(msgspec.Struct, frozen=True):
    """A row of a table to lock, so that a load pauses in the middle."""

    name: str


class Replica:
    """One backend, as far as memory and facts go."""

    def __init__(self, dsn: str, *, silent: bool, seed: int = 0) -> None:
        self.database = Database(make_engine(dsn, pool_size=6), "public")
        self.wakeups = Wakeups(self.database, silent=silent)
        self.feed = Feed(self.database)
        self.caches = Caches(self.database, self.feed, self.wakeups, SystemClock())
        self.items: Cache[UUID, Item] = Cache(name="test.items", table=items, row=Item, key=lambda item: item.id)
        self.gates: Cache[str, Gate] = Cache(name="test.gates", table=gates, row=Gate, key=lambda gate: gate.name)
        self.caches.register("test", [self.items, self.gates])
        self.facts = Facts(self.database, self.wakeups, SystemClock(), random.Random(seed))

    async def write(self, item: Item) -> None:
        """Write a row through, in a transaction."""
        async with self.database.transaction() as connection:
            await self.write_on(connection, item)

    async def write_on(self, connection: Connection, item: Item) -> None:
        """Write a row through, on a connection."""
        await upsert(connection, item)
        await self.items.put(connection, item)

    async def delete(self, key: UUID) -> None:
        """Delete a row through, in a transaction."""
        async with self.database.transaction() as connection:
            await connection.execute(items.delete().where(items.c.id == key))
            await self.items.drop(connection, key)


async def upsert(connection: Connection, item: Item) -> None:
    """Change the table without the feed."""
    values = msgspec.structs.asdict(item)
    statement = sa.dialects.postgresql.insert(items).values(values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


class World:
    """The database, and what tests do to it."""

    items, gates, effects = items, gates, effects
    Item, Gate = Item, Gate
    upsert = staticmethod(upsert)

    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        self.dsn, self._stack = dsn, stack

    def item(self, name: str = "", version: int = 1, key: UUID | None = None, **fields: Any) -> Item:
        """Make a row."""
        key = key or uuid4()
        return Item(key, name or f"item {key}", version, **fields)

    async def replica(self, *, silent: bool = False, run: bool = True, load: bool = True, dsn: str = "") -> Replica:
        """Make a replica; with `run` it listens and follows the feed."""
        replica = Replica(dsn or self.dsn, silent=silent)
        self._stack.push_async_callback(replica.database.close)
        if load:
            await replica.caches.load()
        if run:
            await self._stack.enter_async_context(in_background(replica.wakeups.run(), replica.caches.run()))
            await eventually(lambda: listening(replica))
        return replica

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """Return a cursor of a connection that stands apart from every replica's, in autocommit."""
        connection = psycopg2.connect(self.dsn.replace("?search_path=public", ""))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def cut(self, condition: str = "true") -> int:
        """End every connection of the replicas that a condition on pg_stat_activity names; return how many."""
        with self.admin() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
            )
            return int(cursor.fetchone()[0])

    def rows(self) -> dict[UUID, int]:
        """Return the versions in the table."""
        with self.admin() as cursor:
            cursor.execute("SELECT id::text, version FROM items")
            return {UUID(key): version for key, version in cursor}

    def in_background(self, *work: Any) -> AbstractAsyncContextManager[None]:
        """Run coroutines until the block ends; none may end before."""
        return in_background(*work)

    async def eventually(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        """Wait for a condition; fail when it does not come true."""
        await eventually(condition, within)


def listening(replica: Replica) -> bool:
    """Return whether a replica hears notifications."""
    return replica.wakeups.listening


async def eventually(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def in_background(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
        for task in tasks:
            assert not task.done(), f"a background task ended: {task}"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _prepare(dsn: str) -> None:
    engine = sa.create_engine(dsn.replace("postgres://", "postgresql+psycopg2://"))
    kernel_metadata.create_all(engine)
    metadata.create_all(engine)
    engine.dispose()


@pytest.fixture
def world_dsn(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """Return the DSN of a fresh database with the kernel's tables and those of the tests."""
    dsn = postgres_cluster.clone(postgres_cluster.template("coherence", _prepare))
    yield f"{dsn}?search_path=public"
    postgres_cluster.drop(dsn)


@pytest.fixture
async def world(world_dsn: str) -> AsyncIterator[World]:
    """Return the world, whose replicas are stopped afterwards."""
    async with AsyncExitStack() as stack:
        yield World(world_dsn, stack)
