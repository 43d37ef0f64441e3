"""The same Python types, whichever driver reads and writes them."""

import enum
import gc
import tracemalloc
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Time,
    Uuid,
    bindparam,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSON, JSONB

from galaxy_kernel.database import Database, sqlstate
from galaxy_kernel.database.aiopg.dialect import PIECE


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


ONE, TWO = uuid.UUID(int=1), uuid.UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2030, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
DOCUMENT = {"a": [1, 2.5, None, True], "b": {"ü": "☃"}, "c": "100%"}
BYTES = bytes(range(256))

VALUES: dict[str, tuple[Any, Any]] = {
    "uuid": (Uuid(), TWO),
    "jsonb": (JSONB(), DOCUMENT),
    "json": (JSON(), [1, {"x": None}]),
    "json_text": (JSONB(), "a string"),
    "bytes": (LargeBinary(), BYTES),
    "no_bytes": (LargeBinary(), b""),
    "moment": (DateTime(timezone=True), NOON),
    "day": (Date(), date(2030, 1, 2)),
    "clock": (Time(), time(1, 2, 3, 4)),
    "span": (Interval(), timedelta(days=3, seconds=4, microseconds=5)),
    "amount": (Numeric(20, 4), Decimal("1234567890.1234")),
    "ratio": (Float(), 0.1),
    "small": (SmallInteger(), -1),
    "whole": (Integer(), 2**31 - 1),
    "big": (BigInteger(), 2**63 - 1),
    "flag": (Boolean(), True),
    "words": (Text(), "it's 100% \\ ☃ :x %(y)s \n"),
    "address": (INET(), "192.0.2.1"),
    "colour": (Enum(Colour, name="colour", schema="backend"), Colour.BLUE),
    "uuids": (ARRAY(Uuid()), [ONE, TWO]),
    "no_uuids": (ARRAY(Uuid()), []),
    "numbers": (ARRAY(BigInteger()), [1, None, 2**40]),
    "texts": (ARRAY(Text()), ["a,b", '"', "", "NULL", None]),
    "moments": (ARRAY(DateTime(timezone=True)), [NOON]),
    "binaries": (ARRAY(LargeBinary()), [BYTES, b""]),
    "colours": (ARRAY(Enum(Colour, name="colour", schema="backend")), [Colour.RED]),
}
TABLE = Table(
    "all_types",
    MetaData(schema="backend"),
    Column("row", Integer, primary_key=True),
    *(Column(name, kind) for name, (kind, _) in VALUES.items()),
)


def check(found: Any, expected: Any) -> None:
    """Assert the same value of the same type, all the way down."""
    assert found == expected
    assert isinstance(found, type(expected))
    if isinstance(expected, datetime):
        assert found.utcoffset() == timedelta(0)
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            check(one, other)


async def test_round_trip(database: Database) -> None:
    """Values are read back as written, NULL included, and plain SQL returns the same types."""
    full = {"row": 1} | {name: value for name, (_, value) in VALUES.items()}
    empty = {"row": 2} | dict.fromkeys(VALUES)
    json_nulls = {name for name, (kind, _) in VALUES.items() if isinstance(kind, JSON)}
    async with database.transaction() as connection:
        await connection.run_sync(TABLE.metadata.create_all)
        await connection.execute(TABLE.insert(), [full, empty])
    async with database.reading() as connection:
        first, second = (await connection.execute(select(TABLE).order_by(TABLE.c.row))).mappings()
        for name, value in full.items():
            check(first[name], value)
        assert {name for name in VALUES if second[name] is not None} == set()
        plain = (await connection.execute(text("SELECT * FROM all_types WHERE row = 1"))).mappings().one()
        for name in full.keys() - {"colour", "colours"}:
            check(plain[name], full[name])
        query = select(TABLE.c.row).where(*(TABLE.c[name] == full[name] for name in VALUES.keys() - json_nulls))
        assert (await connection.execute(query)).scalars().all() == [1]


PEAKS = {"aiopg": (4.5, 3.5), "asyncpg": (3.5, 2.5), "psycopg": (1.5, 1.5)}
"""Python's memory at its highest, as a multiple of a large value that is written and read: what each driver allows."""


async def test_large_values_cost_a_bounded_memory(database: Database) -> None:
    """A value of 16 MiB is neither written nor read with more copies than the driver needs."""
    size = 16 << 20
    value = bytes(range(256)) * (size // 256)
    to_write, to_read = PEAKS[database.engine.dialect.driver]
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE large (value bytea)")
        with peak(size * to_write):
            await connection.execute(text("INSERT INTO large VALUES (:value)"), {"value": value})
        query = text("SELECT value FROM large").columns(value=LargeBinary)
        await connection.execute(text("SELECT 1"))
        with peak(size * to_read):
            found = (await connection.execute(query)).scalar_one()
        assert type(found) is bytes
        assert found == value


@pytest.mark.parametrize(
    "size", [0, 1, PIECE // 2 - 2, PIECE // 2 - 1, PIECE // 2, PIECE // 2 + 1, PIECE, 3 * PIECE + 5]
)
async def test_binary_values_of_any_size(database: Database, size: int) -> None:
    """However a value is cut on its way, every byte arrives."""
    value = (bytes(range(251)) * (size // 251 + 1))[:size]
    async with database.reading() as connection:
        query = text("SELECT CAST(:value AS bytea) AS value, ARRAY[CAST(:value AS bytea)] AS list")
        found = (await connection.execute(query, {"value": value})).one()
    assert (found.value, found.list) == (value, [value])


@contextmanager
def peak(limit: float) -> Iterator[None]:
    """Fail where the block takes more memory at a time than this."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= limit
    finally:
        tracemalloc.stop()


async def test_moments_come_in_utc(database: Database) -> None:
    """A time in another zone is stored as that instant and read in UTC."""
    query = select(bindparam("at", NOON.astimezone(timezone(timedelta(hours=5))), DateTime(timezone=True)))
    async with database.reading() as connection:
        check((await connection.execute(query)).scalar_one(), NOON)


@pytest.mark.parametrize("ids", [[], [ONE], [ONE, TWO, ONE]])
async def test_lists_as_sets(database: Database, ids: list[uuid.UUID]) -> None:
    """A list of any length is one parameter: of ANY, of unnest, in Core and in text."""
    typed = bindparam("ids", type_=ARRAY(Uuid))
    plain = "SELECT id FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS u (id, n) ORDER BY n"
    async with database.reading() as connection:
        assert (await connection.execute(text(plain), {"ids": ids})).scalars().all() == ids
        assert (await connection.execute(text(plain).bindparams(typed), {"ids": ids})).scalars().all() == ids
        found = await connection.execute(
            text("SELECT :one = ANY(:ids)").bindparams(bindparam("one", type_=Uuid), typed), {"one": ONE, "ids": ids}
        )
        assert found.scalar_one() is (ONE in ids)


async def test_msgspec_writes_json(database: Database) -> None:
    """A json column takes what msgspec encodes, structs, moments and uuids included."""

    class Star(msgspec.Struct):
        name: str
        id: uuid.UUID
        seen: datetime

    query = select(bindparam("star", Star("Sol", ONE, NOON), JSONB))
    async with database.reading() as connection:
        found = (await connection.execute(query)).scalar_one()
    assert found == {"name": "Sol", "id": str(ONE), "seen": "2030-01-02T12:00:00.123456Z"}


async def test_what_is_read_is_encoded_again(database: Database) -> None:
    """msgspec encodes a driver's values like the standard types."""
    query = text("SELECT CAST(:id AS uuid) AS id, CAST(:at AS timestamptz) AS at")
    async with database.reading() as connection:
        row = (await connection.execute(query, {"id": ONE, "at": NOON})).mappings().one()
    assert msgspec.json.encode(dict(row)) == msgspec.json.encode({"id": ONE, "at": NOON})


async def test_transaction_ids_are_cast(database: Database) -> None:
    """xid8 and pg_snapshot differ by driver; cast to text and bigint they do not."""
    query = "SELECT pg_current_xact_id()::text::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    async with database.transaction() as connection:
        own, oldest = (await connection.execute(text(query))).one()
    assert isinstance(own, int)
    assert isinstance(oldest, int)
    assert own >= oldest


async def test_addresses_are_text(database: Database) -> None:
    """inet is text, both ways."""
    query = text("SELECT inet '2001:db8::1', cidr '10.0.0.0/8'")
    async with database.reading() as connection:
        row = (await connection.execute(query)).one()
    assert row == ("2001:db8::1", "10.0.0.0/8")


async def test_many_rows_of_parameters(database: Database) -> None:
    """Lists of parameters insert, insert returning, update and delete."""
    table = Table("many", MetaData(schema="backend"), Column("id", Integer, primary_key=True), Column("x", Integer))
    rows = [{"id": number, "x": 0} for number in range(250)]
    change = table.update().where(table.c.id == bindparam("key")).values(x=bindparam("new"))
    async with database.transaction() as connection:
        await connection.run_sync(table.metadata.create_all)
        await connection.execute(table.insert(), rows)
        await connection.execute(change, [{"key": number, "new": number} for number in range(250)])
        assert (await connection.execute(text("SELECT sum(x), count(*) FROM many"))).one() == (31125, 250)
        returning = table.insert().returning(table.c.id, sort_by_parameter_order=True)
        again = [{"id": 1000 - number, "x": 0} for number in range(250)]
        found = await connection.execute(returning, again)
        assert found.scalars().all() == [row["id"] for row in again]
        await connection.execute(table.delete().where(table.c.id == bindparam("key")), [{"key": 1}, {"key": 2}])
        assert (await connection.execute(text("SELECT count(*) FROM many"))).scalar_one() == 498


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 2500])
async def test_streams(database: Database, count: int) -> None:
    """A stream yields every row, in order; several are read in turn, and one may be left half read."""
    query = text("SELECT n, CAST(:mark AS text) FROM generate_series(1, :count) AS n").bindparams(
        mark="100%", count=count
    )
    expected = [(number, "100%") for number in range(1, count + 1)]
    async with database.transaction() as connection:
        async with connection.stream(query) as stream, connection.stream(query) as other:
            assert [tuple(row) async for row in stream] == expected
            assert [tuple(row) for row in await other.fetchmany(3)] == expected[:3]
        assert [tuple(row) for row in await (await connection.stream(query)).all()] == expected
        partitions = [len(part) async for part in (await connection.stream(query)).partitions(1000)]
        assert sum(partitions) == count


async def test_a_stream_that_fails(database: Database) -> None:
    """An error in the middle of a stream is raised where the row would have come."""
    async with database.transaction() as connection:
        await connection.begin_nested()
        with pytest.raises(Exception, match="division by zero") as caught:  # asyncpg's own, not wrapped
            async with connection.stream(text("SELECT 1 / (2000 - n) FROM generate_series(1, 3000) AS n")) as stream:
                [row async for row in stream]
        assert sqlstate(caught.value) == "22012"
        await connection.rollback()
