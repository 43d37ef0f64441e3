"""What our own dialect does on the wire, beyond what all drivers share."""

import re
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, NotSupportedError

from galaxy_kernel.database import Connection, Database, prepared, sqlstate


async def raw(connection: Connection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def test_a_read_is_one_round_trip(database: Database, sent: list[str]) -> None:
    """A connection that was in use just now is not pinged, and a read begins no transaction."""
    async with database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    assert sent == ["SELECT 1"]


async def test_begin_rides_along(database: Database, sent: list[str]) -> None:
    """A transaction is its statements and a COMMIT; one without a statement is nothing."""
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.execute(text("SELECT 2"))
    async with database.transaction():
        pass
    assert sent == ["BEGIN;SELECT 1", "SELECT 2", "COMMIT"]


async def test_begin_knows_the_level(database: Database, sent: list[str]) -> None:
    """Isolation level, READ ONLY and DEFERRABLE are part of the BEGIN."""
    async with database.transaction() as connection:
        await connection.execution_options(
            isolation_level="SERIALIZABLE", postgresql_readonly=True, postgresql_deferrable=True
        )
        await connection.execute(text("SELECT 1"))
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
    begins = [statement for statement in sent if statement.startswith("BEGIN")]
    assert begins == ["BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;SELECT 1", "BEGIN;SELECT 1"]


async def test_what_was_never_sent_aborts_nothing(database: Database) -> None:
    """A parameter that cannot be written leaves the transaction as it was."""
    async with database.transaction() as connection:
        with pytest.raises(DBAPIError, match="can't adapt"):
            await connection.execute(text("SELECT :x"), {"x": object()})
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_large_statements_and_answers(database: Database) -> None:
    """Data larger than the socket's buffers is transferred, both ways."""
    payload = "x" * 12_000_000
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT :payload"), {"payload": payload})
        assert found.scalar_one() == payload


async def test_two_phase_commit_is_refused(database: Database) -> None:
    """Operations that the driver lacks are refused."""
    connection = await database.engine.connect()
    with pytest.raises((NotSupportedError, psycopg2.NotSupportedError), match="two-phase"):
        await connection.run_sync(lambda sync: sync.begin_twophase())
    await connection.close()


async def test_a_comment_at_the_end_hides_nothing(database: Database) -> None:
    """A statement that ends in a comment neither swallows the next of its batch nor the FETCH of its stream."""
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id int)")
        await connection.exec_driver_sql("INSERT INTO t VALUES (1), (2), (3)")
        await connection.execute(text("DELETE FROM t WHERE id = :id -- one"), [{"id": 1}, {"id": 2}])
        async with connection.stream(text("SELECT id FROM t -- all")) as stream:
            assert [row.id async for row in stream] == [3]


async def test_a_marked_statement_is_prepared_once(database: Database, sent: list[str]) -> None:
    """The first execution prepares on the way, and the next ones need no text; each parameter has one number."""
    statement = prepared(text("SELECT CAST(:a AS int) - CAST(:b AS int) + :a -- 50 % :b"))
    for a in (10, 20):
        async with database.transaction() as connection:
            assert (await connection.execute(statement, {"a": a, "b": 3})).scalar_one() == 2 * a - 3
    first, _, second, _ = sent
    name = re.findall(r"PREPARE (\w+) AS", first)[0]
    execute = f"EXECUTE {name} (%(a)s, %(b)s)"
    assert first == f"BEGIN;PREPARE {name} AS SELECT CAST($1 AS int) - CAST($2 AS int) + $1 -- 50 %% $2\n;{execute}"
    assert second == f"BEGIN;{execute}"


async def test_a_first_execution_that_failed_is_prepared_again(database: Database, sent: list[str]) -> None:
    """What the server has prepared before the failure is in nobody's way."""
    statement = prepared(text("SELECT 1 / CAST(:divisor AS int)"))
    for divisor in (0, 0, 1):
        async with database.reading() as connection:
            if divisor:
                assert (await connection.execute(statement, {"divisor": divisor})).scalar_one() == 1
            else:
                with pytest.raises(DBAPIError, match="division by zero"):
                    await connection.execute(statement, {"divisor": divisor})
    assert len({name for each in sent for name in re.findall(r"PREPARE (\w+) AS", each)}) == 3


@pytest.mark.parametrize(
    ("change", "refusal"),
    [("DEALLOCATE ALL", "26000"), ("ALTER TABLE t ALTER COLUMN id TYPE bigint", "0A000")],
    ids=["forgotten", "another type"],
)
async def test_a_statement_that_the_server_executes_no_more_fails_once(
    database: Database, change: str, refusal: str
) -> None:
    """Its connection prepares it again, and serves on: after a migration of another replica, too."""
    statement = prepared(text("SELECT id FROM t"))
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id int)")
        await connection.execute(statement)
        await connection.exec_driver_sql(change)
        with pytest.raises(DBAPIError) as refused:
            async with connection.begin_nested():
                await connection.execute(statement)
        assert sqlstate(refused.value) == refusal
        assert (await connection.execute(statement)).all() == []
