"""Converts a table's rows to a cache's structs, and a cache's keys to the feed's text."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Table, select, text
from sqlalchemy.dialects import postgresql

from galaxy_kernel.database import Connection

Key = str | UUID | bytes
"""The types of a cache's keys."""
V = TypeVar("V", bound=msgspec.Struct)

CHUNK = 1_000
"""Rows read at a time: other tasks run in between, and no statement gets near its timeout."""

_AS_THEY_ARE = (bytes, UUID, datetime, date, time, timedelta, Decimal)
"""Types beyond JSON's that the drivers return as the struct has them."""


def encode_key(key: Key) -> str:
    """Return a key as text that includes its type. Raise TypeError for another type."""
    if isinstance(key, str):
        return f"s:{key}"
    if isinstance(key, UUID):
        return f"u:{key}"
    if isinstance(key, bytes):
        return f"b:{key.hex()}"
    raise TypeError(f"a cache's key must be a str, a uuid.UUID or bytes, not {type(key).__name__}")


def decode_key(encoded: str) -> Key:
    """Return the key that `encode_key` wrote. Raise ValueError for anything else."""
    kind, _, value = encoded.partition(":")
    if kind == "s":
        return value
    if kind == "u":
        return UUID(value)
    if kind == "b":
        return bytes.fromhex(value)
    raise ValueError(f"{encoded!r} is not a key of a cache")


class RowReader(Generic[V]):
    """Makes structs of a table's rows; prepared once, since a load makes very many."""

    def __init__(self, cache: str, table: Table, row: type[V]) -> None:
        """Raise TypeError, naming the cache, for a struct that does not fit."""
        self.name = cache
        config, fields = row.__struct_config__, row.__struct_fields__
        if not config.frozen:
            raise TypeError(f"cache {cache!r}: {row.__name__} must be frozen, since every reader gets the same object")
        if config.array_like:
            raise TypeError(f"cache {cache!r}: {row.__name__} must not be array_like: its fields are columns by name")
        if missing := [name for name in fields if name not in table.columns]:
            raise TypeError(
                f"cache {cache!r}: table {table.name!r} has no column {missing[0]!r}, a field of {row.__name__}"
            )
        self.columns = [table.columns[name] for name in fields]
        self.statement = select(*self.columns)
        self._names, self._rows = row.__struct_encode_fields__, list[row]  # type: ignore[valid-type]

    def build(self, rows: Iterable[Sequence[Any]]) -> list[V]:
        """Make the structs, all at once. Raise msgspec.ValidationError for a row that is not what they declare."""
        named = [dict(zip(self._names, row, strict=True)) for row in rows]
        return msgspec.convert(named, type=self._rows, builtin_types=_AS_THEY_ARE, str_keys=True)


async def read_all(
    connection: Connection, reader: RowReader[V], where: ColumnElement[bool] | None
) -> AsyncIterator[list[V]]:
    """Read a whole table in chunks, by a cursor on the server; the connection must be in a transaction."""
    statement = reader.statement if where is None else reader.statement.where(where)
    # DECLARE takes no parameters: the condition's constants are written into it
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    sql = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    cursor = '"' + f"load {reader.name}".replace('"', '""') + '"'
    await connection.execute(text(f"DECLARE {cursor} NO SCROLL CURSOR FOR {sql}".replace(":", r"\:")))
    fetch = text(f"FETCH {CHUNK} FROM {cursor}".replace(":", r"\:")).columns(*reader.columns)
    while rows := (await connection.execute(fetch)).all():
        yield reader.build(rows)
    await connection.execute(text(f"CLOSE {cursor}".replace(":", r"\:")))
