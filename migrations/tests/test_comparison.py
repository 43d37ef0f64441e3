"""`drift`: every way in which the revisions and the metadata may differ is reported."""

import pytest
import sqlalchemy as sa
from fakes import BROKEN, FLEET
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.branch import Branch
from galaxy_migrations.comparison import drift
from galaxy_migrations.runner import migrate

CHANGES = {
    "ADD COLUMN speed int": "fleet_ships: column 'speed': the revisions make `integer`, the metadata says nothing",
    "DROP COLUMN share": "fleet_ships: column 'share': the revisions make nothing, the metadata says `text`",
    "ALTER COLUMN fuel TYPE int": "fleet_ships: column 'fuel': the revisions make `integer`, the metadata says `big",
    "ALTER COLUMN fuel SET NOT NULL": "fleet_ships: column 'fuel': the revisions make `bigint not null`, ",
    "ALTER COLUMN state SET DEFAULT 'moving'": "fleet_ships: column 'state': the revisions make `text not null default",
    "DROP CONSTRAINT fleet_ships_state_check": "fleet_ships: constraint 'fleet_ships_state_check': the revisions make "
    "nothing, the metadata says `CHECK (state = ANY (ARRAY['docked'::text, 'moving'::text]))`",
    "SET (fillfactor = 50)": "fleet_ships: table 'fleet_ships': the revisions make `table with (fillfactor=50)`, ",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_changed_table_is_told(engine: AsyncEngine, schema: str, change: str) -> None:
    """A column, type, default, constraint or parameter that differs is reported in PostgreSQL's words."""
    await migrate(engine, schema, [FLEET])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {schema}.fleet_ships {change}")
    told = await drift(engine, schema, FLEET)
    assert any(line.startswith(f"fleet: {CHANGES[change]}") for line in told), told


async def test_condition_of_an_index_counts(engine: AsyncEngine, schema: str) -> None:
    """A partial index over the same column with another condition is a difference."""
    await migrate(engine, schema, [FLEET])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"DROP INDEX {schema}.fleet_ships_fuel_idx")
        await connection.exec_driver_sql(f"CREATE INDEX fleet_ships_fuel_idx ON {schema}.fleet_ships (fuel)")
    assert len(await drift(engine, schema, FLEET)) == 1


async def test_table_that_only_one_side_has_is_told(engine: AsyncEngine, schema: str) -> None:
    """A table that a revision creates and the metadata lacks is reported, and the reverse."""
    await migrate(engine, schema, [FLEET])
    less = sa.MetaData()
    FLEET.metadata.tables["fleet_ships"].to_metadata(less)
    told = await drift(engine, schema, Branch("fleet", FLEET.package, less))
    assert {line.split(":")[1] for line in told} == {" fleet_orders"}
    (line, *_) = await drift(engine, schema, BROKEN)
    assert line.endswith("the revisions make nothing, the metadata says `uuid not null`")


async def test_comparison_leaves_nothing(engine: AsyncEngine, schema: str) -> None:
    """No scratch schema is left in the database."""
    await migrate(engine, schema, [FLEET])
    await drift(engine, schema, FLEET)
    async with engine.connect() as connection:
        left = await connection.exec_driver_sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'galaxy%%'")
        assert left.scalar_one() == 0
