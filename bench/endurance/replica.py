"""Replicas for S-11: kernels with only a cache, each on connections of its own, and watchers of their memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_kernel.api import Cache, Connection, Context, Manifest, NoSettings
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.kernel import Kernel

PLUGIN = "endurance"
items = sa.Table(
    "endurance_items",
    sa.MetaData(),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
)
"""Not migrated: the scenario creates it."""


class Item(msgspec.Struct, frozen=True):
    """A row; each write sets the next version under the row's lock, and a value of its own."""

    key: str
    version: int
    value: str


class Counted(Cache[str, Item]):
    """The cache, with the number of its loads."""

    loads = 0

    def finish_load(self, rows: dict[str, Item], versions: Mapping[str, int]) -> None:
        super().finish_load(rows, versions)
        self.loads += 1


class Replica:
    """One kernel that is ready."""

    def __init__(self, name: str, kernel: Kernel, cache: Counted) -> None:
        self.name, self.kernel, self.cache = name, kernel, cache

    def silence(self, silent: bool) -> None:
        """Lose every notification from now on, sent and received; or none."""
        assert self.kernel.assembly.resources is not None
        self.kernel.assembly.resources.wakeups.silent = silent

    async def put(self, connection: Connection, statement: sa.Executable) -> Item:
        """Write a row through, by a statement that returns it."""
        item = Item(*(await connection.execute(statement)).one())
        await self.cache.put(connection, item)
        return item

    async def drop(self, connection: Connection, key: str) -> None:
        """Delete a row through."""
        await connection.execute(items.delete().where(items.c.key == key))
        await self.cache.drop(connection, key)


@asynccontextmanager
async def replica(name: str, dsn: str) -> AsyncIterator[Replica]:
    """Run a kernel whose connections have its name in `pg_stat_activity`."""
    cache = Counted(name=f"{PLUGIN}.items", table=items, row=Item, key=lambda item: item.key)

    class Plugin:
        manifest = Manifest(name=PLUGIN, summary="A cache to try.")

        def __init__(self, context: Context[NoSettings]) -> None:
            self.context = context

        def backend_caches(self) -> Sequence[Cache[Any, Any]]:
            return [cache]

    environment = {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": f"{dsn}&application_name={name}"}
    kernel = Kernel(assemble(environment, discovery=from_classes(Plugin)))
    async with kernel.running():
        yield Replica(name, kernel, cache)


class Watcher:
    """Reads a replica's memory between any two steps of the event loop, and records what must never be seen."""

    def __init__(self, watched: Replica, keys: Sequence[str]) -> None:
        self.looks = 0
        self.wrong: list[str] = []
        self._replica, self._keys = watched, keys
        self._seen: dict[str, Item | None] = {}
        self._newest: dict[str, Item] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(0)

    def look(self) -> None:
        """Read every key once."""
        self.looks += 1
        get, seen = self._replica.cache.get, self._seen
        for key in self._keys:
            item = get(key)
            if item is not seen.get(key):
                seen[key] = item
                self._compare(item)

    def _compare(self, item: Item | None) -> None:
        """Check a row: it may be deleted and return, its version never decreases, and a version has one value."""
        if item is None:
            return
        newest = self._newest.setdefault(item.key, item)
        if item != newest and item.version <= newest.version:
            self.wrong.append(f"{self._replica.name}: {item} after {newest}")
        else:
            self._newest[item.key] = item
