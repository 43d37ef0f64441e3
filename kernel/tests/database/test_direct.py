"""How prepared statements are sent, with every driver: as any other, for whoever asks."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import DateTime, Float, LargeBinary, Text, Uuid, bindparam, column, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, StatementError

from galaxy_kernel.database import Database, is_unavailable, prepared


async def test_a_marked_statement_that_loses_its_server_or_its_task_ends_as_any_other(database: Database) -> None:
    """The error says that the database is away, a cancellation ends the statement, and the pool serves on."""
    sleep = prepared(text("SELECT 7 AS seven, pg_sleep(CAST(:seconds AS int))"))
    ending = text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = :pid")
    async with database.transaction() as connection:
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        async with database.reading() as other:
            assert (await other.execute(ending, {"pid": pid})).scalar_one() == 1
        with pytest.raises(DBAPIError) as lost:
            await connection.execute(sleep, {"seconds": 0})
        assert is_unavailable(lost.value) and lost.value.connection_invalidated
        await connection.rollback()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), database.reading() as connection:
            await connection.execute(sleep, {"seconds": 60})
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    async with database.reading() as connection:
        async with asyncio.timeout(20):
            while (await connection.exec_driver_sql(sleeping)).scalar_one():
                await asyncio.sleep(0.01)
        assert (await connection.execute(sleep, {"seconds": 0})).one().seven == 7


async def test_a_marked_statement_has_the_types_of_any_other(database: Database) -> None:
    """Parameters and columns are converted by their types, rows have names, and a fault of a parameter is an error."""
    columns = [
        column("id", Uuid),
        column("part", Float),
        column("raw", LargeBinary),
        column("at", DateTime(timezone=True)),
    ]
    statement = text(
        "SELECT CAST(:id AS uuid) AS id, CAST(:part AS float8) AS part, CAST(:raw AS bytea) AS raw,"
        " CAST(:at AS timestamptz) AS at, CAST(:document AS jsonb) ->> 'a' AS a"
    ).bindparams(bindparam("id", type_=Uuid), bindparam("raw", type_=LargeBinary), bindparam("document", type_=JSONB))
    values = {
        "id": UUID(int=7),
        "part": 0.5,
        "raw": b"\x00\xff",
        "at": datetime(2030, 1, 1, tzinfo=UTC),
        "document": {"a": "b"},
    }
    async with database.reading() as connection:
        for each in (statement.columns(*columns), prepared(statement.columns(*columns))):
            row = (await connection.execute(each, values)).one()
            assert (row.id, row.part, row.raw, row.at, row[4]) == (*list(values.values())[:4], "b")
        with pytest.raises(StatementError):
            await connection.execute(prepared(statement), {"id": UUID(int=7)})


async def test_what_a_marked_statement_is_given_is_what_any_other_takes(database: Database) -> None:
    """Defaults of parameters count, columns are in the order of the text, and a fault of a value is the driver's."""
    statement = text("SELECT CAST(:a AS text) AS a").bindparams(bindparam("a", value="default", type_=Text))
    async with database.reading() as connection:
        for each in (statement, prepared(statement)):
            assert (await connection.execute(each)).scalar_one() == "default"
    with pytest.raises(ValueError, match="in the order of its text"):
        prepared(text("SELECT 1 AS b, 2 AS a").columns(a=Text))
    errors = []
    for each in (statement, prepared(statement)):
        with pytest.raises(Exception) as refused:
            async with database.reading() as connection:
                await connection.execute(each, {"a": "x\0"})
        errors.append(type(refused.value))
    assert errors[0] is errors[1]
