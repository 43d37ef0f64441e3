"""`offline_sql`: the script does what `migrate` does."""

import contextlib

import psycopg2
import pytest
from fakes import FLEET, TRADE
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.comparison import drift
from galaxy_migrations.removal import purge
from galaxy_migrations.runner import migrate, offline_sql
from galaxy_migrations.session import lock_key
from galaxy_migrations.states import check


def run(dsn: str, script: str) -> None:
    """Run a script as psql does: each statement by itself, in autocommit."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements(script):
            cursor.execute(statement)


def statements(script: str) -> list[str]:
    """Split at semicolons that end a line, except inside `DO $$ … $$`."""
    found, block = [], ""
    for line in script.splitlines():
        block += line + "\n"
        if line.rstrip().endswith(";") and block.count("$$") % 2 == 0:
            found.append(block)
            block = ""
    assert not block.strip()
    return found


async def test_script_from_nothing(engine: AsyncEngine, empty_database: str, schema: str) -> None:
    """On an empty database the script makes what `migrate` makes, with the record that `purge` needs."""
    run(empty_database, await offline_sql([FLEET, TRADE], schema))
    assert [state.state for state in await check(engine, schema, [FLEET, TRADE])] == ["current", "current"]
    assert await drift(engine, schema, FLEET) == []
    assert await purge(engine, schema, "fleet") == ["fleet_orders", "fleet_ships", "alembic_version_fleet"]


async def test_script_from_a_state(engine: AsyncEngine, empty_database: str, schema: str) -> None:
    """With what `check` found, only the rest is in the script."""
    await migrate(engine, schema, [FLEET])
    script = await offline_sql([FLEET, TRADE], schema, await check(engine, schema, [FLEET, TRADE]))
    assert "fleet" not in script
    run(empty_database, script)
    assert await migrate(engine, schema, [FLEET, TRADE]) == []


async def test_script_stops_while_another_migrates(engine: AsyncEngine, empty_database: str, schema: str) -> None:
    """The script does nothing to the tables while a process holds the lock."""
    script = await offline_sql([TRADE], schema)
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_lock({lock_key(schema)})")
        with pytest.raises(psycopg2.errors.RaiseException, match="another process is migrating"):
            run(empty_database, script)
        await connection.exec_driver_sql(f"SELECT pg_advisory_unlock({lock_key(schema)})")
    assert [state.state for state in await check(engine, schema, [TRADE])] == ["missing"]
