"""Structs from rows, and keys as the feed writes them."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.caches.rows import CHUNK, RowReader, decode_key, encode_key, read_all

KEYS = st.one_of(st.text(), st.uuids(), st.binary())


@given(KEYS, KEYS)
def test_keys_round_trip(one: Any, other: Any) -> None:
    """Every key is read back as it was, type and all; two different ones are never written alike."""
    assert decode_key(encode_key(one)) == one
    assert type(decode_key(encode_key(one))) is type(one)
    assert (encode_key(one) == encode_key(other)) == (type(one) is type(other) and one == other)


def test_strange_keys() -> None:
    """A key of another type is refused, and so is text that is not a key."""
    with pytest.raises(TypeError, match="not int"):
        encode_key(1)  # type: ignore[arg-type]
    for text in ("", "x:1", "u:1", "b:xyz"):
        with pytest.raises(ValueError):
            decode_key(text)


class State(StrEnum):
    ON = "on"


class Rich(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    at: datetime | None
    tags: tuple[str, ...]
    options: dict[str, int]
    id: UUID
    secret: bytes = b""


class Plain(msgspec.Struct, frozen=True):
    id: UUID
    secret: bytes


rich = sa.Table(
    "rich",
    sa.MetaData(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.Text),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("tags", sa.ARRAY(sa.Text)),
    sa.Column("options", JSONB),
    sa.Column("secret", sa.LargeBinary),
)


@pytest.mark.parametrize("driver", ["aiopg", "asyncpg", "psycopg"])
async def test_loaded_and_published_rows_are_equal(world: Any, driver: str) -> None:
    """A row read from the table equals the same row decoded from JSON, with each driver and type."""
    dsn = world.dsn.replace("postgres://", f"postgresql+{driver}://")
    database = (await world.replica(run=False, load=False, dsn=dsn)).database
    row = Rich(
        state=State.ON,
        at=datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
        tags=("a", "b:c%"),
        options={"x": 1},
        id=uuid4(),
        secret=b"\0\xff",
    )
    reader = RowReader("test", rich, Rich)
    async with database.transaction() as connection:
        await connection.run_sync(rich.create)
        await connection.execute(rich.insert().values(msgspec.structs.asdict(row)))
        [[loaded]] = [chunk async for chunk in read_all(connection, reader, None)]
        [[plain]] = [chunk async for chunk in read_all(connection, RowReader("plain", rich, Plain), None)]
    assert loaded == row == msgspec.json.decode(msgspec.json.encode(row), type=Rich)
    assert isinstance(loaded.state, State)
    assert plain == Plain(row.id, row.secret)
    assert type(plain.secret) is bytes


@pytest.mark.parametrize("driver", ["aiopg", "asyncpg", "psycopg"])
async def test_reading_in_chunks(world: Any, driver: str) -> None:
    """A table of many chunks is read completely, twice on one connection, and a condition is applied."""
    dsn = world.dsn.replace("postgres://", f"postgresql+{driver}://")
    database = (await world.replica(run=False, load=False, dsn=dsn)).database
    gates = world.gates
    reader = RowReader("test:gates%", gates, world.Gate)
    async with database.transaction() as connection:
        await connection.exec_driver_sql(
            f"INSERT INTO gates SELECT 'n:' || n FROM generate_series(1, {2 * CHUNK + 1}) n"
        )
        await connection.execute(gates.insert().values(name="100%: 'x' :y"))
        for _ in range(2):
            chunks = [chunk async for chunk in read_all(connection, reader, None)]
            assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 2]
        some = [chunk async for chunk in read_all(connection, reader, gates.c.name == "100%: 'x' :y")]
        assert some == [[world.Gate("100%: 'x' :y")]]
        like = [chunk async for chunk in read_all(connection, reader, gates.c.name.like("n:1%"))]
        assert sum(map(len, like)) == 1111
        none = [chunk async for chunk in read_all(connection, reader, gates.c.name == "")]
        assert none == []


def test_structs_that_do_not_fit() -> None:
    """A struct that can be changed, or has a field that is not a column, is refused with the cache's name."""

    class Loose(msgspec.Struct):
        id: UUID

    class Listed(msgspec.Struct, frozen=True, array_like=True):
        id: UUID

    class Other(msgspec.Struct, frozen=True):
        colour: str

    with pytest.raises(TypeError, match="cache 'test': Loose must be frozen"):
        RowReader("test", rich, Loose)
    with pytest.raises(TypeError, match="cache 'test': Listed must not be array_like"):
        RowReader("test", rich, Listed)
    with pytest.raises(TypeError, match="cache 'test': table 'rich' has no column 'colour'"):
        RowReader("test", rich, Other)


def test_a_row_that_is_not_what_the_struct_declares() -> None:
    """It is refused, not kept in memory as something that no reader expects."""

    class Named(msgspec.Struct, frozen=True, kw_only=True, rename={"name": "title"}):
        id: UUID
        name: str

    table = sa.Table("named", sa.MetaData(), sa.Column("id", sa.Uuid), sa.Column("name", sa.String))
    reader = RowReader("test", table, Named)
    number = UUID(int=1)
    assert reader.build([(number, "gate")]) == [Named(id=number, name="gate")]
    with pytest.raises(msgspec.ValidationError, match="Expected `str`, got `null`"):
        reader.build([(number, "gate"), (number, None)])


def test_keys_of_an_object_are_what_the_struct_declares() -> None:
    """As they are when the row comes by the feed, where JSON has them as text too."""

    class Owned(msgspec.Struct, frozen=True):
        owners: dict[int, str]

    table = sa.Table("owned", sa.MetaData(), sa.Column("owners", JSONB))
    assert RowReader("test", table, Owned).build([({"7": "ann"},)]) == [Owned({7: "ann"})]
