"""`purge`: what it drops, and what it leaves."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from fakes import FLEET, TRADE
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.errors import MigrationError
from galaxy_migrations.removal import purge
from galaxy_migrations.runner import migrate
from galaxy_migrations.states import orphans


async def tables(engine: AsyncEngine, schema: str) -> set[str]:
    async with engine.connect() as connection:
        names = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = :schema")
        return set((await connection.execute(names, {"schema": schema})).scalars())


async def test_purge_needs_no_code_of_the_plugin(engine: AsyncEngine, schema: str) -> None:
    """The tables of a plugin that is gone are known from the schema; every other table stays."""
    await migrate(engine, schema, [FLEET, TRADE])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE TABLE {schema}.fleet_of_somebody_else (id int)")
    assert await purge(engine, schema, "fleet") == ["fleet_orders", "fleet_ships", "alembic_version_fleet"]
    assert await tables(engine, schema) == {"alembic_version_trade", "trade_offers", "fleet_of_somebody_else"}
    assert await orphans(engine, schema, {"trade"}) == []
    assert len(await migrate(engine, schema, [FLEET])) == 3


async def test_purge_leaves_no_object_behind(engine: AsyncEngine, schema: str) -> None:
    """Sequences, indexes and types go with the tables."""
    await migrate(engine, schema, [FLEET])
    await purge(engine, schema, "fleet")
    async with engine.connect() as connection:
        left = sa.text("""
            SELECT relname FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace)
            UNION ALL SELECT typname FROM pg_type WHERE typnamespace = CAST(:schema AS regnamespace)
        """)
        assert (await connection.execute(left, {"schema": schema})).all() == []


async def test_unknown_plugin_is_an_error(engine: AsyncEngine, schema: str) -> None:
    """A plugin the schema does not know is refused, with those it knows."""
    await migrate(engine, schema, [TRADE])
    with pytest.raises(MigrationError, match="no tables of plugin 'fleet'; it has those of: trade"):
        await purge(engine, schema, "fleet")
    with pytest.raises(MigrationError, match="not a plugin's name"):
        await purge(engine, schema, 'x"; DROP SCHEMA backend CASCADE; --')


async def test_what_depends_on_the_tables_keeps_them(engine: AsyncEngine, schema: str) -> None:
    """A foreign view over one table keeps them all, and is named."""
    await migrate(engine, schema, [FLEET])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE VIEW public.report AS SELECT * FROM {schema}.fleet_ships")
    with pytest.raises(
        MigrationError, match=r"'fleet': its tables were not dropped.*view public.report.*drop what depends"
    ):
        await purge(engine, schema, "fleet")
    assert await tables(engine, schema) == {"alembic_version_fleet", "fleet_orders", "fleet_ships"}


async def test_tables_in_use_are_kept(engine: AsyncEngine, schema: str) -> None:
    """Purge gives up on a table that stays in use, and drops none."""
    await migrate(engine, schema, [FLEET])
    async with engine.connect() as reader:
        await reader.exec_driver_sql(f"SELECT FROM {schema}.fleet_ships")
        with pytest.raises(MigrationError, match="stop what uses them"):
            await purge(engine, schema, "fleet", lock_timeout=timedelta(milliseconds=10))
    assert "fleet_orders" in await tables(engine, schema)
