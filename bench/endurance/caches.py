"""S-11: three replicas, 10,000 cached writes, 100 cut connections, a tenth of the notifications lost.

Writers change rows through all replicas at once, several of them the same row; some delete rows and create them again,
some roll back. At the operations that the seed draws connections of a replica are cut on the server
(`pg_terminate_backend`): one of its pool, the one that listens, or all it has. The seed also draws at which operations
a replica neither sends nor receives notifications, a tenth of them; at the last ones none does, so that the end is
known by polling alone.
"""

import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from bench.endurance.replica import Item, Replica, Watcher, items, replica
from bench.endurance.schedule import Fault, draw
from bench.endurance.verdict import Verdict, some
from galaxy_devkit.postgres.server import EmbeddedPostgres

REPLICAS = 3
WRITERS = 12
STEADY = [f"steady {number}" for number in range(40)]
"""Rows that are only changed, by any writer."""
PASSING = [f"passing {number}" for number in range(20)]
"""Rows that come and go; each is written by one writer at a time."""
SILENT_SHARE, SILENT_BLOCK = 0.1, 10
"""The share of operations at which a replica is silent, and for how many in a row."""
WITHIN = 5.0
"""Seconds from the last write until all must be equal (SPEC S-11)."""
_CUTS = {"pool connection": 6, "listening connection": 3, "all connections of a replica": 1}
"""What is cut, by weight."""
_SUBJECT = "pid FROM pg_stat_activity WHERE application_name = $1 AND backend_type = 'client backend'"
_LISTENS = "(query LIKE 'LISTEN%' OR query = 'SELECT 1')"
"""A listener's statements: LISTEN, and then its checks of the server."""


async def run(*, seed: int, short: bool) -> Verdict:
    """Write 10,000 times across 100 cuts; 500 times across 10 when short."""
    writes, cuts = (500, 10) if short else (10_000, 100)
    with tempfile.TemporaryDirectory(prefix="galaxy-endurance-") as folder:
        async with EmbeddedPostgres(Path(folder) / "postgres", durable=not short) as server, AsyncExitStack() as stack:
            dsn = server.dsn("postgres", search_path="backend")
            control = await asyncpg.connect(dsn)
            stack.push_async_callback(control.close)
            await _make_table(control)
            replicas = [await stack.enter_async_context(replica(f"r{n}", dsn)) for n in range(REPLICAS)]
            running = _Scenario(replicas, control, seed, writes, cuts)
            await running.run()
            return await running.verdict()


async def _make_table(control: "asyncpg.Connection[asyncpg.Record]") -> None:
    await control.execute("CREATE SCHEMA backend")
    await control.execute(
        "CREATE TABLE endurance_items (key text PRIMARY KEY, version bigint NOT NULL, value text NOT NULL)"
    )
    await control.executemany("INSERT INTO endurance_items VALUES ($1, 0, 'new')", [(key,) for key in STEADY])


class _Rolled(Exception):  # noqa: N818 - no error
    """A writer rolls back on purpose."""


class _Scenario:
    def __init__(
        self, replicas: list[Replica], control: "asyncpg.Connection[asyncpg.Record]", seed: int, writes: int, cuts: int
    ) -> None:
        self.replicas, self.seed, self.writes = replicas, seed, writes
        self.broken: list[str] = []
        self._control, self._cutting = control, asyncio.Lock()
        self._watchers = [Watcher(each, STEADY + PASSING) for each in replicas]
        source = random.Random(seed)
        kinds = source.choices(list(_CUTS), list(_CUTS.values()), k=cuts)
        self._faults = {fault.at: fault for fault in draw(source, writes, **{k: kinds.count(k) for k in sorted(_CUTS)})}
        self.cut = dict.fromkeys(_CUTS, 0)
        self._silences = _silences(random.Random(f"{seed}/silence"), writes)
        self._operations = iter(range(1, writes + 1))
        self._acknowledged: dict[str, int] = {}
        self._committed = self._rolled_back = self._failed = self._not_own = 0
        self._locks = {key: asyncio.Lock() for key in PASSING}
        self._versions = dict.fromkeys(PASSING, 0)
        self._lost = 0
        self.converged_in = float("inf")

    async def run(self) -> None:
        """Write, cut, watch; then wait until all are equal."""
        watching = [asyncio.create_task(each.run()) for each in self._watchers]
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(WRITERS):
                    tasks.create_task(self._write_on())
            await self._converge()
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _write_on(self) -> None:
        for operation in self._operations:
            for place, each in enumerate(self.replicas):
                each.silence(self._silences[place][operation])
            if (fault := self._faults.get(operation)) is not None:
                await self._cut(fault)
            await self._until_committed(operation)
            if operation % 1000 == 0:
                print(f"  {operation:,} of {self.writes:,} writes", file=sys.stderr, flush=True)

    async def _until_committed(self, operation: int) -> None:
        """Repeat a write until it was acknowledged, or rolled back on purpose."""
        for attempt in itertools.count():
            source = random.Random(f"{self.seed}/{operation}/{attempt}")
            try:
                await self._write(source, f"{operation}/{attempt}")
            except _Rolled:
                self._rolled_back += 1
            except (sa.exc.SQLAlchemyError, OSError):  # cut; whether it was committed is unknown
                self._failed += 1
                continue
            return

    async def _write(self, source: random.Random, value: str) -> None:
        through, fate = source.choice(self.replicas), source.random()
        if fate < 0.7:
            await self._change(through, source.choice(STEADY), value, rolls_back=fate < 0.03)
        elif fate < 0.8:
            await self._change_several(through, sorted(source.sample(STEADY, 4)), value)
        else:
            await self._come_or_go(through, source.choice(PASSING), value, goes=fate < 0.9)

    async def _change(self, through: Replica, key: str, value: str, *, rolls_back: bool) -> None:
        async with through.kernel.database.transaction() as connection:
            item = await through.put(connection, _changed(key, value))
            if rolls_back:
                raise _Rolled
        self._acknowledge(through, item)

    async def _change_several(self, through: Replica, keys: list[str], value: str) -> None:
        async with through.kernel.database.transaction() as connection:
            changed = [await through.put(connection, _changed(key, value)) for key in keys]
        for item in changed:
            self._acknowledge(through, item)

    async def _come_or_go(self, through: Replica, key: str, value: str, *, goes: bool) -> None:
        """Write a row that may not exist. Its version is given here, since a deleted row has none."""
        async with self._locks[key]:
            self._versions[key] += 1
            item = Item(key, self._versions[key], value)
            async with through.kernel.database.transaction() as connection:
                if goes:
                    await through.drop(connection, key)
                else:
                    await through.put(connection, _made(item))
            seen = through.cache.get(key)
            self._not_own += seen != (None if goes else item)
            self._committed += 1

    def _acknowledge(self, through: Replica, item: Item) -> None:
        """Record a commit; its writer must read that row from now on, or a newer one."""
        seen = through.cache.get(item.key)
        self._not_own += seen is None or seen.version < item.version
        self._acknowledged[item.key] = max(item.version, self._acknowledged.get(item.key, 0))
        self._committed += 1

    async def _cut(self, fault: Fault) -> None:
        """Cut the fault's connections of a replica that the seed draws; nothing if it has none at the moment."""
        source = random.Random(f"{self.seed}/{fault.at}/cut")
        name = source.choice(self.replicas).name
        where = {"listening connection": f"AND {_LISTENS}", "pool connection": f"AND NOT {_LISTENS}"}.get(
            fault.kind, ""
        )
        async with self._cutting:
            rows = await self._control.fetch(f"SELECT {_SUBJECT} {where} ORDER BY state = 'idle', pid", name)
            pids = [row["pid"] for row in rows]
            for pid in pids if fault.kind == "all connections of a replica" else pids[:1]:
                self.cut[fault.kind] += bool(await self._control.fetchval("SELECT pg_terminate_backend($1)", pid))

    async def _converge(self) -> None:
        started = time.monotonic()
        rows = {row["key"]: Item(*row) for row in await self._control.fetch("SELECT * FROM endurance_items")}
        while time.monotonic() < started + 4 * WITHIN:
            if not (differing := self._differing(rows)):
                break
            await asyncio.sleep(0.005)
        self.converged_in = time.monotonic() - started
        self.broken += some("memory that differs from the database", differing)
        lost = [key for key, version in self._acknowledged.items() if rows[key].version < version]
        self.broken += some("acknowledged version that the database lost", lost)
        self._lost = len(lost) + len(differing)

    def _differing(self, rows: dict[str, Item]) -> list[str]:
        return [each.name for each in self.replicas if {item.key: item for item in each.cache.values()} != rows]

    async def verdict(self) -> Verdict:
        """Return the verdict."""
        self.broken += some("step back", [wrong for each in self._watchers for wrong in each.wrong])
        if self._not_own:
            self.broken.append(f"{self._not_own} × a writer did not read its own write")
        ready = [(each.name, (await each.kernel.probes.report())[0]) for each in self.replicas]
        self.broken += some("replica not ready", [name for name, is_ready in ready if not is_ready])
        silent = sum(itertools.chain.from_iterable(self._silences)) / REPLICAS / self.writes
        return Verdict(
            id="S-11",
            scenario="caches",
            seed=self.seed,
            operations=self.writes,
            kills=self.cut,
            lost=self._lost,
            duplicated=0,
            converged_in=self.converged_in,
            within=WITHIN,
            broken=self.broken,
            notes={
                "rows committed": self._committed,
                "rolled back": self._rolled_back,
                "cut off and repeated": self._failed,
                "share of silent operations": round(silent, 3),
                "loads": sum(each.cache.loads for each in self.replicas),
                "reads of memory": sum(each.looks for each in self._watchers),
            },
        )


def _changed(key: str, value: str) -> sa.Executable:
    statement = items.update().where(items.c.key == key).values(version=items.c.version + 1, value=value)
    return statement.returning(items.c.key, items.c.version, items.c.value)


def _made(item: Item) -> sa.Executable:
    values = {"key": item.key, "version": item.version, "value": item.value}
    statement = insert(items).values(values).on_conflict_do_update(index_elements=["key"], set_=values)
    return statement.returning(items.c.key, items.c.version, items.c.value)


def _silences(source: random.Random, writes: int) -> list[list[bool]]:
    """Draw for each replica at which operations it is silent; the last ones are."""

    def one() -> Iterator[bool]:
        while True:
            yield from itertools.repeat(source.random() < SILENT_SHARE, SILENT_BLOCK)

    drawn = [list(itertools.islice(one(), writes + 1)) for _ in range(REPLICAS)]
    return [[*each[:-SILENT_BLOCK], *itertools.repeat(True, SILENT_BLOCK)] for each in drawn]
