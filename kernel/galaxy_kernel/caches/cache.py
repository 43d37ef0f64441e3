"""One full-table cache: the rows of a table in memory, and the writes that keep every replica in step.

`registry` describes how writing, following and loading fit together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar, cast

import msgspec
from sqlalchemy import ColumnElement, Table

from galaxy_chassis.errors import GalaxyError
from galaxy_kernel.caches.feed import Change, erase, publish
from galaxy_kernel.caches.index import Index
from galaxy_kernel.caches.rows import Key, RowReader, decode_key, encode_key, read_all
from galaxy_kernel.database import Connection, after_commit

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)


class CacheNotLoadedError(GalaxyError):
    """A cache was read before it was loaded."""


class Cache(Generic[K, V]):
    """All rows of one table, or those of a condition, by key.

    A plugin makes it in its constructor and returns it from `backend_caches()`; reading it works once the kernel has
    loaded it. Writing works before that too, and in a command that loads no caches: then it only reaches the other
    replicas.
    """

    def __init__(
        self,
        *,
        name: str,
        table: Table,
        row: type[V],
        key: Callable[[V], K],
        where: ColumnElement[bool] | None = None,
        indexes: Mapping[str, Callable[[V], Key | None]] | None = None,
    ) -> None:
        """Describe the cache.

        `name` is `<plugin>.<what>`. `row` is a frozen Struct whose fields are columns of `table`; later versions add
        fields only with defaults. `key` must be unique, by a constraint in the database, and never change for a row
        (drop the old one and put the new). `where` selects the rows to load, by constants: the writer of a row that no
        longer matches must drop it. `indexes` are further ways to find rows, by name: the value that `find` uses
        for each row; None for a row that it does not find.
        """
        self.name = name
        self._table, self._key, self._where = table, key, where
        self._reader = RowReader(name, table, row)
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(row)
        self._rows: dict[K, V] | None = None
        self._indexes = {index: Index[K, V](by) for index, by in (indexes or {}).items()}
        self._versions: dict[K, int] = {}
        self._stale_below = 0
        self._journal: list[tuple[int, K, V | None]] | None = None
        self._own: set[int] = set()
        """Changes that were applied when they were committed, and come by the feed, unless they are erased before."""
        self._tell_others: Callable[[], None] = lambda: None

    def get(self, key: K) -> V | None:
        """Return the row of a key, or None. Raise CacheNotLoadedError before the load."""
        rows = self._rows
        return (self._loaded() if rows is None else rows).get(key)

    def find(self, index: str, value: Key) -> list[V]:
        """Return the rows that an index has under a value, in no order. Raise CacheNotLoadedError before the load."""
        rows = self._loaded()
        return [rows[key] for key in self._indexes[index].keys(value)]

    def values(self) -> list[V]:
        """Return every row, as of now and in no order. Raise CacheNotLoadedError before the load."""
        return list(self._loaded().values())

    def __len__(self) -> int:
        return len(self._loaded())

    async def put(self, connection: Connection, row: V, *, scrubbed: bool = False) -> None:
        """Store a row, new or changed, once the transaction has committed: here at once, elsewhere within moments.

        Call it after the INSERT or UPDATE, with the row as that left it (RETURNING). `scrubbed`: personal data was
        removed from the row, and is erased from its earlier changes in the feed too.
        """
        if scrubbed:
            await erase(connection, self.name, [encode_key(self._key(row))])
        await self.put_many(connection, (row,))

    async def put_many(self, connection: Connection, rows: Iterable[V]) -> None:
        """Store several rows, in one statement."""
        await self._write(connection, [(self._key(row), row) for row in rows])

    async def drop(self, connection: Connection, key: K) -> None:
        """Drop a row once the transaction has committed, and erase it from the feed. Call it after the DELETE."""
        await self.drop_many(connection, (key,))

    async def drop_many(self, connection: Connection, keys: Iterable[K]) -> None:
        """Drop several rows, in two statements."""
        dropped = list(keys)
        if dropped:
            await erase(connection, self.name, [encode_key(key) for key in dropped])
        await self._write(connection, [(key, None) for key in dropped])

    def _loaded(self) -> dict[K, V]:
        if self._rows is None:
            raise CacheNotLoadedError(
                f"cache {self.name!r} was read before it was loaded: return it from backend_caches(), and read it only "
                "once the service is ready (a lifespan and a command read the database)"
            )
        return self._rows

    async def _write(self, connection: Connection, changes: Sequence[tuple[K, V | None]]) -> None:
        encode = self._encoder.encode
        entries = [(encode_key(key), None if row is None else encode(row).decode()) for key, row in changes]
        ids = await publish(connection, self.name, entries)
        written = [(change_id, key, row) for change_id, (key, row) in zip(ids, changes, strict=True)]
        if written:
            after_commit(connection, lambda: self._committed(written))

    def _committed(self, written: Iterable[tuple[int, K, V | None]]) -> None:
        for change_id, key, row in written:
            if self._rows is not None and change_id > self._versions.get(key, 0):  # else the feed was quicker
                self._own.add(change_id)
            self._apply(change_id, key, row)
        self._tell_others()

    def _apply(self, change_id: int, key: K, row: V | None) -> None:
        if self._journal is not None:
            self._journal.append((change_id, key, row))
        if self._rows is None or change_id <= self._versions.get(key, 0):
            return
        self._versions[key] = change_id
        for index in self._indexes.values():
            index.change(key, self._rows.get(key), row)
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row

    # The rest is for `Caches` only.

    def bind(self, tell_others: Callable[[], None]) -> None:
        """Register `tell_others` for each commit of a change."""
        self._tell_others = tell_others

    def receive(self, change: Change) -> None:
        """Apply a change of the feed. Raises msgspec.ValidationError for a row of a shape that cannot be read."""
        if change.id in self._own:
            self._own.remove(change.id)
            return
        key = cast("K", decode_key(change.key))
        if self._journal is None and change.id <= self._versions.get(key, 0):
            return
        self._apply(change.id, key, None if change.payload is None else self._decoder.decode(change.payload))

    def begin_load(self) -> None:
        """Record applied changes from now on, for `finish_load`. Call it before the snapshot is taken."""
        self._journal = []

    async def read(self, connection: Connection) -> dict[K, V]:
        """Read the whole table on a connection in a transaction; nothing changes in memory."""
        key, rows = self._key, dict[K, V]()
        async for chunk in read_all(connection, self._reader, self._where):
            rows.update((key(row), row) for row in chunk)
        return rows

    def finish_load(self, rows: dict[K, V], versions: Mapping[str, int]) -> None:
        """Replace memory by the rows read, and apply changes made meanwhile on top.

        `versions` are those of the snapshot that was read, by key as the feed writes it.
        """
        journal, self._journal = self._journal or (), None
        self._rows, self._stale_below = rows, 0
        self._own.clear()  # what the load has passed over never comes
        for index in self._indexes.values():
            index.build(rows)
        self._versions = {cast("K", decode_key(key)): version for key, version in versions.items()}
        for change_id, key, row in journal:
            self._apply(change_id, key, row)

    def abandon_load(self) -> None:
        """Leave memory as it is."""
        self._journal = None

    @property
    def loaded(self) -> bool:
        """Whether it is loaded."""
        return self._rows is not None

    def forget_old_versions(self) -> None:
        """Drop the versions that existed at the last call; call it once in each retention of the feed."""
        newest = max(self._versions.values(), default=self._stale_below)
        self._versions = {key: version for key, version in self._versions.items() if version > self._stale_below}
        self._stale_below = newest
        self._own.clear()  # of those that were erased
