"""`migrate`: what it applies, in which transactions, and what a failure leaves."""

import asyncio
import logging
from datetime import timedelta

import pytest
import sqlalchemy as sa
from fakes import BROKEN, FLEET, SLOW, TRADE, dsn_for
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galaxy_kernel.database import make_engine
from galaxy_migrations.comparison import drift
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.runner import migrate
from galaxy_migrations.states import check

TABLES = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY 1")


async def tables(engine: AsyncEngine, schema: str) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.execute(TABLES, {"schema": schema})).scalars())


@pytest.mark.parametrize("driver", ["aiopg", "asyncpg", "psycopg"])
async def test_empty_database_gets_schema_and_tables_with_every_driver(
    empty_database: str, schema: str, driver: str
) -> None:
    """On an empty database the schema, every table and one version table a plugin are made."""
    engine = make_engine(dsn_for(empty_database, driver))
    applied = await migrate(engine, schema, [FLEET, TRADE])
    assert [item.revision for item in applied] == ["fleet_0001", "fleet_0002", "fleet_0003", "trade_0001"]
    made = ["alembic_version_fleet", "alembic_version_trade", "fleet_orders", "fleet_ships", "trade_offers"]
    assert await tables(engine, schema) == made
    assert await drift(engine, schema, FLEET) == []
    assert await migrate(engine, schema, [FLEET, TRADE]) == []
    await engine.dispose()


async def test_branches_come_and_go_alone(engine: AsyncEngine, schema: str) -> None:
    """A plugin removed between two runs does not affect the others, and continues where it was when it returns."""
    await migrate(engine, schema, [TRADE])
    assert [item.plugin for item in await migrate(engine, schema, [FLEET])] == ["fleet"] * 3
    assert await migrate(engine, schema, [TRADE, FLEET]) == []


async def test_failure_keeps_what_was_done_before(engine: AsyncEngine, schema: str) -> None:
    """A revision that fails is rolled back completely and named with its plugin; earlier ones stay."""
    with pytest.raises(MigrationError, match=r"'broken': revision broken_0002 failed.*division by zero") as caught:
        await migrate(engine, schema, [TRADE, BROKEN, FLEET])
    assert (caught.value.plugin, caught.value.revision) == ("broken", "broken_0002")
    assert await tables(engine, schema) == [
        "alembic_version_broken",
        "alembic_version_trade",
        "broken_wrecks",
        "trade_offers",
    ]
    assert [item.plugin for item in await migrate(engine, schema, [FLEET])] == ["fleet"] * 3


async def test_newer_schema_is_left_alone(engine: AsyncEngine, schema: str) -> None:
    """A branch with a revision beyond the newest known one is not touched, and the others are applied."""
    await migrate(engine, schema, [TRADE])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE {schema}.alembic_version_trade SET version_num = 'trade_0007'")
    assert [item.plugin for item in await migrate(engine, schema, [TRADE, FLEET])] == ["fleet"] * 3


async def test_unknown_revision_stops_before_anything_is_done(engine: AsyncEngine, schema: str) -> None:
    """A version table that names anything but a revision of the branch refuses the whole run."""
    await migrate(engine, schema, [TRADE])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE {schema}.alembic_version_trade SET version_num = 'a1b2c3'")
    with pytest.raises(MigrationError, match=r"'trade': the schema is at a1b2c3.*install the version that wrote it"):
        await migrate(engine, schema, [FLEET, TRADE])
    assert await tables(engine, schema) == ["alembic_version_trade", "trade_offers"]


async def test_table_in_use_is_tried_again(engine: AsyncEngine, schema: str) -> None:
    """A revision that does not get its lock in time is rolled back, and applied once the table is free."""
    await _to_first_fleet_revision(engine, schema)
    said: list[str] = []
    async with engine.connect() as reader:
        await reader.exec_driver_sql(f"SELECT FROM {schema}.fleet_ships")
        tried = asyncio.Event()

        def log(message: str, *, plugin: str | None = None) -> None:
            said.append(f"{plugin}: {message}")
            tried.set()

        run = asyncio.create_task(migrate(engine, schema, [FLEET], lock_timeout=timedelta(milliseconds=50), log=log))
        await tried.wait()
        await reader.rollback()
    assert [item.revision for item in await run] == ["fleet_0002", "fleet_0003"]
    assert said[0] == "fleet: fleet_0002: a table is in use: try 1 of 10"


async def test_table_that_stays_in_use_is_an_error(engine: AsyncEngine, schema: str) -> None:
    """After ten tries the run ends, naming the revision and where to look."""
    await _to_first_fleet_revision(engine, schema)
    async with engine.connect() as reader:
        await reader.exec_driver_sql(f"SELECT FROM {schema}.fleet_ships")
        with pytest.raises(MigrationError, match=r"revision fleet_0002 failed.*pg_stat_activity"):
            await migrate(engine, schema, [FLEET], lock_timeout=timedelta(milliseconds=2))
    assert [state.current for state in await check(engine, schema, [FLEET])] == ["fleet_0001"]


async def test_two_runs_in_one_process_do_not_meet(engine: AsyncEngine) -> None:
    """Runs for several schemas, started at once in one loop, each write to their own."""
    schemas = [f"part_{number}" for number in range(4)]
    await asyncio.gather(*(migrate(engine, schema, [FLEET, TRADE]) for schema in schemas))
    for schema in schemas:
        assert await drift(engine, schema, FLEET) == []
        assert len(await tables(engine, schema)) == 5


async def test_cancelled_run_frees_the_lock(engine: AsyncEngine, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run cancelled inside a revision leaves neither lock nor half a revision."""
    monkeypatch.setenv("FAKE_SLOW_SECONDS", "60")
    run = asyncio.create_task(migrate(engine, schema, [TRADE, SLOW]))
    async with engine.connect() as connection:
        while not await _sleeping(connection):
            await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    monkeypatch.delenv("FAKE_SLOW_SECONDS")
    assert "slow_snails" not in await tables(engine, schema)
    applied = await migrate(engine, schema, [TRADE, SLOW], wait_timeout=timedelta(seconds=10))
    assert [item.revision for item in applied] == ["slow_0001"]


async def test_nothing_leaks(empty_database: str, schema: str) -> None:
    """Neither the pool's connections nor the process's logging nor `alembic.op` differ after a failed run."""
    engine = make_engine(empty_database, pool_size=1, statement_timeout=7)
    before = await _settings(engine), list(logging.root.handlers), logging.getLogger("alembic").level
    with pytest.raises(MigrationError):
        await migrate(engine, schema, [BROKEN])
    assert (await _settings(engine), list(logging.root.handlers), logging.getLogger("alembic").level) == before
    from alembic import op

    with pytest.raises((NameError, AttributeError)):
        op.execute("SELECT 1")
    await engine.dispose()


async def test_schema_of_another_owner_will_do(engine: AsyncEngine, empty_database: str, schema: str) -> None:
    """A role that may not create schemas migrates in one that was made for it."""
    role = "migrations_tenant"
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE ROLE {role}")
        await connection.exec_driver_sql(f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
    tenant = make_engine(empty_database)

    @sa.event.listens_for(tenant.sync_engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SET ROLE {role}")

    assert [item.revision for item in await migrate(tenant, schema, [TRADE])] == ["trade_0001"]
    with pytest.raises(MigrationError, match=r"'elsewhere' is missing and cannot be created.*grant CREATE"):
        await migrate(tenant, "elsewhere", [TRADE])
    await tenant.dispose()
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"DROP OWNED BY {role}")
        await connection.exec_driver_sql(f"DROP ROLE {role}")


async def _to_first_fleet_revision(engine: AsyncEngine, schema: str) -> None:
    """Bring the schema to fleet_0001: to the head, and back by hand."""
    await migrate(engine, schema, [FLEET])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {schema}.fleet_ships DROP COLUMN fuel")
        await connection.exec_driver_sql(f"UPDATE {schema}.alembic_version_fleet SET version_num = 'fleet_0001'")


async def _sleeping(connection: AsyncConnection) -> bool:
    asleep = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())"
    )
    found = (await connection.exec_driver_sql(asleep)).scalar_one()
    await connection.rollback()
    return bool(found)


async def _settings(engine: AsyncEngine) -> list[str]:
    names = ("search_path", "statement_timeout", "lock_timeout", "client_connection_check_interval")
    async with engine.connect() as connection:
        return [str((await connection.exec_driver_sql(f"SHOW {name}")).scalar_one()) for name in names]
