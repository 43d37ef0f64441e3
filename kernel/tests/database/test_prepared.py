"""Marked statements, with every driver."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from galaxy_kernel.database import Database, prepared


async def test_a_marked_statement_outlives_what_changes_around_it(database: Database) -> None:
    """It answers the same in and outside transactions, after a rollback, a new column, and a table made again."""
    statement = prepared(text("INSERT INTO t (id) SELECT CAST(:id AS int) RETURNING id"))
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY)")
    async with database.transaction() as connection:
        assert (await connection.execute(statement, {"id": 1})).scalar_one() == 1
        await connection.rollback()
    async with database.transaction() as connection:
        assert (await connection.execute(statement, {"id": 1})).scalar_one() == 1
        await connection.exec_driver_sql("ALTER TABLE t ADD COLUMN added text NOT NULL DEFAULT 'new'")
        assert (await connection.execute(statement, {"id": 2})).scalar_one() == 2
        with pytest.raises(DBAPIError):
            async with connection.begin_nested():
                await connection.execute(statement, {"id": 2})
        await connection.exec_driver_sql("DROP TABLE t")
        await connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY)")
        assert (await connection.execute(statement, {"id": 2})).scalar_one() == 2
    async with database.reading() as connection:
        assert (await connection.execute(statement, {"id": 3})).scalar_one() == 3


@pytest.mark.parametrize("how", ["reading", "transaction"])
async def test_the_server_plans_a_marked_statement_once(database: Database, how: str) -> None:
    """Outside transactions too; it knows the statement afterwards, whichever driver has prepared it."""
    statement = prepared(text("SELECT CAST(:a AS text) AS planned_once"))
    known = "SELECT count(*) FROM pg_prepared_statements WHERE position('planned_' || 'once' IN statement) > 0"
    async with getattr(database, how)() as connection:
        for a in ("x", "y", "x", "y", "x", "y"):  # psycopg prepares what it has executed five times
            assert (await connection.execute(statement, {"a": a})).scalar_one() == a
        assert (await connection.exec_driver_sql(known)).scalar_one() == 1
