"""Caches in step with the database, on one replica and on several."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.health import Probes
from galaxy_kernel.caches.cache import Cache
from galaxy_kernel.caches.feed import RETENTION
from galaxy_kernel.caches.registry import LAG_LIMIT, Caches
from galaxy_kernel.database import is_unavailable
from galaxy_kernel.errors import PluginError


async def test_the_load_reads_what_is_there(world: Any) -> None:
    """After the load memory holds the table's rows, equal to those written."""
    row = world.item("ü", 7, token=b"\0\xff", seen_at=datetime(2030, 1, 1, 1, 1, 1, 123456, tzinfo=UTC))
    writer = await world.replica(run=False)
    await writer.write(row)
    reader = await world.replica(run=False)
    assert reader.items.get(row.id) == row == writer.items.get(row.id)
    assert reader.items.values() == [row]
    assert len(reader.items) == 1
    assert reader.items.get(uuid4()) is None


async def test_a_condition_of_the_load(world: Any) -> None:
    """`where` says which rows are loaded."""
    writer = await world.replica(run=False)
    old, new = world.item(version=1), world.item(version=2)
    await writer.write(old)
    await writer.write(new)
    cache: Cache[UUID, Any] = Cache(
        name="test.new", table=world.items, row=world.Item, key=lambda item: item.id, where=world.items.c.version > 1
    )
    caches = Caches(writer.database, writer.feed, writer.wakeups, ManualClock())
    caches.register("test", [cache])
    await caches.load()
    assert cache.values() == [new]


async def test_memory_changes_with_the_commit(world: Any) -> None:
    """Inside the transaction nothing changes; right after it everything has, in the writer's own memory."""
    replica = await world.replica(run=False)
    first, second = world.item(), world.item()
    async with replica.database.transaction() as connection:
        for item in (first, second):
            await world.upsert(connection, item)
        await replica.items.put_many(connection, [first, second])
        assert len(replica.items) == 0
    assert set(replica.items.values()) == {first, second}
    async with replica.database.transaction() as connection:
        await connection.execute(world.items.delete())
        await replica.items.drop_many(connection, [first.id, second.id, uuid4()])
        assert len(replica.items) == 2
    assert replica.items.values() == []


async def test_a_rollback_leaves_memory_as_it_was(world: Any) -> None:
    """After a rollback, in whole or to a savepoint, memory is as before, here and on another replica."""
    here, there = await world.replica(), await world.replica()
    item = world.item()
    await here.write(item)
    with pytest.raises(ZeroDivisionError):
        async with here.database.transaction() as connection:
            await here.write_on(connection, world.item(version=2, key=item.id))
            raise ZeroDivisionError
    async with here.database.transaction() as connection:
        savepoint = await connection.begin_nested()
        await here.write_on(connection, world.item(version=3, key=item.id))
        await savepoint.rollback()
    for replica in (here, there):
        await replica.caches.poll()
        assert replica.items.values() == [item]


async def test_a_failed_commit_leaves_memory_as_it_was(world: Any) -> None:
    """A COMMIT that the database refuses, or whose connection dies before it, changes memory nowhere."""
    here, there = await world.replica(run=False), await world.replica(run=False)
    item = world.item("one")
    await here.write(item)
    with pytest.raises(Exception, match="items_name_key"):
        await here.write(world.item("one"))  # a second row of this name: found out by the COMMIT
    with pytest.raises(Exception) as lost:
        async with here.database.transaction() as connection:
            await here.write_on(connection, world.item(version=2, key=item.id))
            pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            assert world.cut(f"pid = {pid}") == 1
    assert is_unavailable(lost.value)
    for replica in (here, there):
        await replica.caches.poll()
        assert replica.items.values() == [item]


async def test_a_commit_nobody_heard_of(world: Any) -> None:
    """When a writer dies right after the COMMIT, the feed still brings its change to every replica."""
    dying, other = await world.replica(run=False), await world.replica(silent=True)
    dying.items._committed = lambda written: None
    item = world.item()
    await dying.write(item)
    await world.eventually(lambda: other.items.get(item.id) == item, within=2)
    await dying.caches.poll()
    assert dying.items.get(item.id) == item


async def test_writing_without_a_load(world: Any) -> None:
    """A command that loads no caches still writes through: running replicas follow."""
    running, command = await world.replica(), await world.replica(run=False, load=False)
    item = world.item()
    await command.write(item)
    await world.eventually(lambda: running.items.get(item.id) == item)
    await command.delete(item.id)
    await world.eventually(lambda: running.items.get(item.id) is None)


async def test_another_replica_hears_within_moments(world: Any) -> None:
    """With notifications a change is elsewhere well within a second; even the slowest of twenty."""
    here, there = await world.replica(), await world.replica()
    slowest = 0.0
    for _ in range(20):
        item = world.item()
        await here.write(item)
        started = time.monotonic()
        await world.eventually(lambda item=item: there.items.get(item.id) == item)
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 0.4, "no quicker than looking without being woken"


async def test_without_notifications(world: Any) -> None:
    """With every notification suppressed a dropped row is gone on every replica within a second."""
    replicas = [await world.replica(silent=True) for _ in range(3)]
    item = world.item()
    await replicas[0].write(item)
    await world.eventually(lambda: all(replica.items.get(item.id) == item for replica in replicas), within=1)
    await replicas[1].delete(item.id)
    await world.eventually(lambda: all(replica.items.get(item.id) is None for replica in replicas), within=1)


async def test_an_older_change_that_commits_elsewhere_first(world: Any) -> None:
    """Our own newer row stays when the feed then brings the older one of another replica."""
    here, there = await world.replica(run=False), await world.replica(run=False)
    key = uuid4()
    await there.write(world.item(version=1, key=key))
    await here.write(world.item(version=2, key=key))
    assert here.items.get(key).version == 2
    await here.caches.poll()
    assert here.items.get(key).version == 2
    await there.caches.poll()
    assert there.items.get(key).version == 2


@asynccontextmanager
async def load_held_up(world: Any, caches: Caches) -> AsyncIterator[asyncio.Task[None]]:
    """Pause a load, after its snapshot, until the block ends."""
    async with AsyncExitStack() as stack:
        cursor = stack.enter_context(world.admin())
        cursor.execute("BEGIN; LOCK TABLE gates IN ACCESS EXCLUSIVE MODE")
        task = asyncio.ensure_future(caches.load())
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'gates'::regclass"

        def blocked() -> bool:
            cursor.execute(waiting)
            return bool(cursor.fetchone()[0])

        await world.eventually(blocked)
        yield task
    await asyncio.wait([task])


async def test_writes_during_a_load(world: Any) -> None:
    """Writes here and elsewhere during a load are seen at once, and neither lost nor undone by it."""
    here, there = await world.replica(), await world.replica()
    ours, theirs, deleted = world.item("ours"), world.item("theirs"), world.item("deleted")
    for item in (ours, theirs, deleted):
        await here.write(item)
    await world.eventually(lambda: len(there.items) == 3)
    loads = here.caches.state.loads
    async with load_held_up(world, here.caches) as load:
        ours2, theirs2 = world.item("ours", 2, ours.id), world.item("theirs", 2, theirs.id)
        new = world.item("new")
        await here.write(ours2)
        await here.write(new)
        await there.write(theirs2)
        await there.delete(deleted.id)
        expected = {ours2, theirs2, new}
        await world.eventually(lambda: set(here.items.values()) == expected, within=1)
        assert not load.done()
    await load
    assert set(here.items.values()) == expected
    assert here.caches.state.loads == loads + 1
    await here.caches.poll()
    assert set(here.items.values()) == expected


async def test_writes_during_the_first_load(world: Any) -> None:
    """What is committed while the first load runs is there after it."""
    replica, other = await world.replica(run=False, load=False), await world.replica(run=False)
    ours, theirs = world.item("ours"), world.item("theirs")
    async with load_held_up(world, replica.caches) as load:
        await replica.write(ours)
        await other.write(theirs)
    await load
    assert replica.items.values() == [ours]
    await replica.caches.poll()
    assert set(replica.items.values()) == {ours, theirs}


async def test_all_caches_are_loaded_from_one_snapshot(world: Any) -> None:
    """A commit between reading two tables is in neither cache until the feed brings it."""
    replica, other = await world.replica(run=False), await world.replica(run=False)
    before, after = (
        Cache[UUID, Any](name=f"test.{name}", table=world.items, row=world.Item, key=lambda item: item.id)
        for name in ("before", "after")
    )
    caches = Caches(replica.database, replica.feed, replica.wakeups, ManualClock())
    caches.register("test", [before, replica.gates, after])
    async with load_held_up(world, caches) as load:
        await other.write(world.item())
    await load
    assert before.values() == after.values() == []


async def test_a_look_that_a_load_overtakes(world: Any) -> None:
    """A read of the feed that began before a load and ends after it does not move the load's position."""
    replica = await world.replica(run=False)
    read, reading, may_end = replica.feed.read, asyncio.Event(), asyncio.Event()

    async def slow_read(since: Any) -> Any:
        found = await read(since)
        reading.set()
        await may_end.wait()
        return found

    replica.feed.read = slow_read
    look = asyncio.ensure_future(replica.caches.poll())
    await reading.wait()
    item = world.item()
    await (await world.replica(run=False, load=False)).write(item)
    await replica.caches.load()
    loaded = replica.caches._position
    may_end.set()
    await look
    assert replica.caches._position is loaded
    assert replica.items.values() == [item]


async def test_a_load_that_fails(world: Any) -> None:
    """A load whose connection dies leaves memory as it was, and the next one works."""
    replica = await world.replica(run=False)
    item = world.item()
    await replica.write(item)
    async with load_held_up(world, replica.caches) as load:
        world.cut("wait_event_type = 'Lock'")
    with pytest.raises(Exception) as lost:
        await load
    assert is_unavailable(lost.value)
    assert replica.items.values() == [item]
    await replica.write(world.item(version=2, key=item.id))
    await replica.caches.load()
    assert replica.items.get(item.id).version == 2


async def test_a_cache_that_cannot_apply_a_change_is_named(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin's own code fails: the log and the feed's check say whose, and not what is in the row."""
    monkeypatch.setattr("galaxy_kernel.caches.registry.LAG_LIMIT", -1.0)
    replica, writer = await world.replica(run=False), await world.replica(run=False)

    def broken(change: Any) -> None:
        raise KeyError("ann@example.org")

    monkeypatch.setattr(replica.items, "receive", broken)
    await writer.write(world.item())
    with capture_logs() as lines:
        assert not await replica.caches._tried(replica.caches.poll, None)
    (line,) = [line for line in lines if line["event"] == "feed_read_failed"]
    assert (line["plugin"], line["error"]) == ("test", "KeyError")
    health = await replica.caches._following()
    assert "plugin 'test' fails in a change of the cache 'test.items' with KeyError (" in health.detail
    assert "ann@" not in str(lines) + health.detail


@pytest.mark.parametrize("step", ["poll", "load"])
async def test_a_stray_cancellation_does_not_end_the_following(world: Any, step: str) -> None:
    """Something that a read or a load awaited was cancelled: memory follows the database all the same."""
    replica, writer = await world.replica(run=False), await world.replica(run=False)
    attempt, failed = getattr(replica.caches, step), asyncio.Event()

    async def once() -> None:
        if not failed.is_set():
            failed.set()
            raise asyncio.CancelledError
        await attempt()

    setattr(replica.caches, step, once)
    item, loads = world.item(), replica.caches.state.loads
    async with world.in_background(replica.caches.run()):
        replica.caches.reload()
        async with asyncio.timeout(10):
            await failed.wait()
        await writer.write(item)
        await world.eventually(lambda: replica.items.values() == [item] and replica.caches.state.loads > loads)


async def test_a_fail_over_that_lost_commits(world: Any) -> None:
    """After a load memory follows the database, even backwards, and continues with ids that were used before."""
    replica = await world.replica(run=False)
    item = world.item(version=1)
    await replica.write(item)
    for version in (2, 3):
        await replica.write(world.item(version=version, key=item.id))
    with world.admin() as cursor:
        cursor.execute("DELETE FROM feed_changes WHERE id > 1; ALTER TABLE feed_changes ALTER id RESTART WITH 2")
        cursor.execute("UPDATE items SET version = 1, name = %s", (item.name,))
    await replica.caches.load()
    assert replica.items.values() == [item]
    await replica.write(world.item(version=2, key=item.id))
    assert replica.items.get(item.id).version == 2


async def test_listening_again_loads_again(world: Any) -> None:
    """A lost listening connection leads to a full load, which also finds rows written without the feed."""
    replica = await world.replica()
    item = world.item()
    with world.admin() as cursor:
        cursor.execute("INSERT INTO items (id, name, version) VALUES (%s, %s, 1)", (str(item.id), item.name))
    await replica.caches.poll()
    assert len(replica.items) == 0
    world.cut()
    await world.eventually(lambda: replica.items.get(item.id) == item)
    assert replica.caches.state.loads == 2


async def test_a_change_of_another_release(world: Any) -> None:
    """A row that cannot be read from the feed is read from the table."""
    replica = await world.replica()
    item = world.item()
    with world.admin() as cursor:
        cursor.execute("BEGIN; INSERT INTO items (id, name, version) VALUES (%s, %s, 1)", (str(item.id), item.name))
        cursor.execute(
            "INSERT INTO feed_changes (topic, key, payload, request_id) VALUES ('test.items', %s, '{}', ''); COMMIT",
            (f"u:{item.id}",),
        )
    await world.eventually(lambda: replica.items.get(item.id) == item)


async def test_a_topic_of_a_plugin_that_is_not_here(world: Any) -> None:
    """Changes of a cache that this replica does not have are ignored."""
    replica, other = await world.replica(run=False), await world.replica(run=False)
    alone = Caches(other.database, other.feed, other.wakeups, ManualClock())
    alone.register("test", [other.gates])
    await alone.load()
    await replica.write(world.item())
    await alone.poll()
    assert alone.state.warm


async def test_a_server_started_anew(world: Any, postgres_cluster: Any) -> None:
    """While the server is down memory is used; when it is back, everything is loaded again and writes succeed."""
    replicas = [await world.replica(), await world.replica()]
    item = world.item()
    await replicas[0].write(item)
    await world.eventually(lambda: replicas[1].items.get(item.id) == item)
    await postgres_cluster.server.stop("immediate")
    await world.eventually(lambda: all(replica.caches.state.error for replica in replicas))
    assert [replica.items.get(item.id) for replica in replicas] == [item, item]
    await postgres_cluster.server.start()
    await world.eventually(lambda: all(replica.caches.state.loads == 2 for replica in replicas), within=20)
    newer = world.item(version=2, key=item.id)
    await replicas[0].write(newer)
    await world.eventually(lambda: replicas[1].items.get(item.id) == newer)
    await world.eventually(lambda: not any(replica.caches.state.error for replica in replicas))


async def test_a_position_that_is_lost_loads_again(world: Any, postgres_cluster: Any) -> None:
    """Another server is noticed by the feed itself, without the listener."""
    replica = await world.replica(run=False)
    await postgres_cluster.server.stop("immediate")
    await postgres_cluster.server.start()
    async with world.in_background(replica.caches.run()):
        await world.eventually(lambda: replica.caches.state.loads == 2)


async def test_names_that_are_taken(world: Any) -> None:
    """Two caches of one name are refused, with both plugins' names."""
    replica = await world.replica(run=False)
    with pytest.raises(PluginError, match="'test' and 'other' both have a cache 'test.gates'"):
        replica.caches.register("other", [replica.gates])


async def test_readiness(world: Any) -> None:
    """Not ready until every cache is loaded, nor when the feed has not been followed for too long."""
    replica = await world.replica(run=False, load=False)
    clock = ManualClock()
    caches = Caches(replica.database, replica.feed, replica.wakeups, clock)
    gates: Cache[str, Any] = Cache(name="g", table=world.gates, row=world.Gate, key=lambda gate: gate.name)
    caches.register("lobby", [gates])

    async def report() -> tuple[bool, dict[tuple[str, str], str]]:
        probes = Probes(clock)
        for plugin, probe in caches.probes():
            probes.add(plugin, [probe])
        ready, body = await probes.report()
        return ready, {(check["plugin"], check["name"]): check["state"] for check in body["checks"]}

    assert await report() == (False, {("lobby", "cache:g"): "failed", ("kernel", "feed"): "failed"})
    assert (caches.state.warm, caches.state.since, caches.state.lag) == (False, None, None)
    await caches.load()
    assert await report() == (True, {("lobby", "cache:g"): "ok", ("kernel", "feed"): "ok"})
    assert (caches.state.warm, caches.state.since, caches.state.lag) == (True, clock.now(), 0)
    clock._monotonic += LAG_LIMIT + 1
    assert await report() == (False, {("lobby", "cache:g"): "ok", ("kernel", "feed"): "failed"})
    await caches.poll()
    assert await report() == (True, {("lobby", "cache:g"): "ok", ("kernel", "feed"): "ok"})


async def test_what_is_dropped_or_scrubbed_is_in_no_earlier_change(world: Any) -> None:
    """The feed keeps nothing of a row that is gone, or of the personal data that was removed from one."""
    replica = await world.replica(run=False)
    kept, gone, person = world.item("kept"), world.item("gone"), world.item("Ada")
    for item in (kept, gone, person):
        await replica.write(item)
    await replica.delete(gone.id)
    nobody = world.item("nobody", version=2, key=person.id)
    async with replica.database.transaction() as connection:
        await world.upsert(connection, nobody)
        await replica.items.put(connection, nobody, scrubbed=True)
    with world.admin() as cursor:
        cursor.execute("SELECT payload FROM feed_changes ORDER BY id")
        payloads = [payload for (payload,) in cursor]
    assert [payload and msgspec.json.decode(payload)["name"] for payload in payloads] == ["kept", None, "nobody"]


async def test_each_look_at_the_feed_tells_the_time_and_forgets_in_time(world: Any) -> None:
    """The server's time is passed on with our own at the look; versions of deleted keys stay for a retention."""
    writer = await world.replica(run=False)
    clock, times = ManualClock(), list[tuple[float, float]]()
    on_time = lambda at, started: times.append((at, started))  # noqa: E731
    caches = Caches(writer.database, writer.feed, writer.wakeups, clock, on_time=on_time)
    items: Cache[UUID, Any] = Cache(name="test.items", table=world.items, row=world.Item, key=lambda item: item.id)
    caches.register("test", [items])
    await caches.load()
    item = world.item()
    await writer.write(item)
    await writer.delete(item.id)
    moment = timedelta(seconds=1)
    for step, kept in ((RETENTION - moment, 1), (moment, 1), (RETENTION - moment, 1), (moment, 0)):
        clock.advance(step)
        await caches.poll()
        assert len(items._versions) == kept
    with world.admin() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        now = float(cursor.fetchone()[0])
    assert times[-1][1] == clock.monotonic()
    assert [at for at, _ in times] == sorted(at for at, _ in times)
    assert now - 60 < times[0][0] and times[-1][0] <= now


class Watcher:
    """Reads a replica's memory between any two steps of the event loop, and records what must never be seen."""

    def __init__(self, replica: Any, keys: list[UUID]) -> None:
        self.items, self.keys = replica.items, keys
        self.seen: dict[UUID, int] = {}
        self.gone: dict[UUID, int] = {}
        self.wrong: list[str] = []

    async def run(self) -> None:
        while True:
            for key in self.keys:
                self.look(key, self.items.get(key))
            await asyncio.sleep(0)

    def look(self, key: UUID, row: Any) -> None:
        newest = self.seen.get(key, 0)
        if row is None:
            if newest:
                self.gone[key] = newest
            return
        if row.version < newest or row.version <= self.gone.get(key, 0):
            self.wrong.append(f"{key}: {row.version} after {newest}, gone at {self.gone.get(key)}")
        self.seen[key] = max(newest, row.version)


class Writers:
    """Random writes through several replicas."""

    def __init__(self, world: Any, replicas: list[Any], keys: list[UUID], seed: int) -> None:
        self.world, self.replicas, self.keys, self.random = world, replicas, keys, random.Random(seed)
        self.committed = self.failed = 0

    async def run(self, count: int) -> None:
        for _ in range(count):
            try:
                await self.one()
                self.committed += 1
            except Exception:  # a connection cut, a rollback of ours, or a cancellation: the outcome does not matter
                self.failed += 1

    async def one(self) -> None:
        replica, keys = (
            self.random.choice(self.replicas),
            sorted(self.random.sample(self.keys, self.random.randint(1, 3))),
        )
        pause, fate = self.random.random() * 0.01, self.random.random()
        async with asyncio.timeout(pause if fate < 0.05 else None), replica.database.transaction() as connection:
            for key in keys:
                await self.change(replica, connection, key)
            if self.random.random() < 0.3:  # commits come in another order than ids
                await connection.exec_driver_sql(f"SELECT pg_sleep({pause})")
            if fate > 0.95:
                raise ZeroDivisionError

    async def change(self, replica: Any, connection: Any, key: UUID) -> None:
        # versions grow in the order of commits: each is taken with the row's lock, there or not
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock(hashtext('{key}'))")
        version = (await connection.exec_driver_sql("SELECT nextval('versions')")).scalar_one()
        if self.random.random() < 0.2:
            await connection.execute(self.world.items.delete().where(self.world.items.c.id == key))
            await replica.items.drop(connection, key)
        else:
            await replica.write_on(connection, self.world.item(version=version, key=key))


def same(world: Any, replicas: list[Any]) -> Callable[[], bool]:
    def check() -> bool:
        rows = world.rows()
        return all({item.id: item.version for item in replica.items.values()} == rows for replica in replicas)

    return check


@pytest.mark.parametrize(("silent", "cuts"), [(False, 0), (True, 0), (False, 25)], ids=["heard", "silent", "cut"])
async def test_random_writes_on_three_replicas(world: Any, silent: bool, cuts: int) -> None:
    """All memories end equal to the database, and no reader on any replica ever sees a row step back.

    Also with every notification suppressed, and with connections cut again and again, the listening ones included.
    """
    with world.admin() as cursor:
        cursor.execute("CREATE SEQUENCE versions")
    seed = 11
    replicas = [await world.replica(silent=silent) for _ in range(3)]
    keys = [uuid4() for _ in range(12)]
    watchers = [Watcher(replica, keys) for replica in replicas]
    writers = [Writers(world, replicas, keys, seed + number) for number in range(4)]
    chance = random.Random(seed)
    async with world.in_background(*(watcher.run() for watcher in watchers)):
        writing = [asyncio.ensure_future(each.run(60)) for each in writers]
        for _ in range(cuts):
            await asyncio.wait(writing, timeout=chance.random() * 0.2)
            world.cut("random() < 0.3" if chance.random() < 0.5 else "query LIKE 'LISTEN%'")
        await asyncio.gather(*writing)
        await world.eventually(same(world, replicas), within=5)
    assert [watcher.wrong for watcher in watchers] == [[], [], []]
    assert sum(each.committed for each in writers) > 100
    assert all(len(watcher.seen) == len(keys) for watcher in watchers)
