"""`check` and `orphans`: what is reported of a schema."""

import pytest
from fakes import FLEET, TRADE
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.branch import number_of, read
from galaxy_migrations.runner import migrate
from galaxy_migrations.states import Stamp, check, orphans, record, recorded, state_of


@pytest.mark.parametrize(
    ("revisions", "state", "runs"),
    [
        ((), "missing", False),
        (("fleet_0001",), "older", False),
        (("fleet_0003",), "current", True),
        (("fleet_0004",), "newer", True),
        (("fleet_10000",), "newer", True),
        (("fleet_0000",), "unknown", False),
        (("trade_0009",), "unknown", False),
        (("a1b2c3",), "unknown", False),
        (("fleet_0001", "fleet_0003"), "unknown", False),
    ],
)
def test_state_follows_from_the_version_table(revisions: tuple[str, ...], state: str, runs: bool) -> None:
    """The version table's content decides the state, and whether the code may run."""
    found = state_of(read(FLEET), Stamp(revisions, ()))
    assert (found.state, found.runs) == (state, runs)


async def test_check_names_plugin_and_command(engine: AsyncEngine, schema: str) -> None:
    """A missing or older schema is refused with the plugin and the command; a check creates nothing."""
    (fleet, trade) = await check(engine, schema, [FLEET, TRADE])
    assert fleet.message == "plugin 'fleet': the schema is not there, the code needs fleet_0003: run `backend migrate`"
    await migrate(engine, schema, [FLEET])
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE {schema}.alembic_version_fleet SET version_num = 'fleet_0002'")
    (fleet, trade) = await check(engine, schema, [FLEET, TRADE])
    assert fleet.message == (
        "plugin 'fleet': the schema is at fleet_0002, the code needs fleet_0003: run `backend migrate`"
    )
    assert trade.state == "missing"


async def test_orphans_are_branches_without_their_plugin(engine: AsyncEngine, schema: str) -> None:
    """A branch in the schema whose plugin is not among the known ones is listed, by the plugin's name."""
    assert await orphans(engine, schema, {"fleet"}) == []
    await migrate(engine, schema, [FLEET, TRADE])
    assert await orphans(engine, schema, {"fleet"}) == ["trade"]


@given(st.lists(st.text()))
def test_record_is_read_back(tables: list[str]) -> None:
    """Whatever tables are recorded are read back, sorted."""
    assert recorded(record(tables)) == sorted(tables)


@given(st.one_of(st.none(), st.text(), st.recursive(st.none() | st.integers(), st.lists).map(str)))
def test_any_other_comment_is_an_empty_record(comment: str | None) -> None:
    """A foreign comment on a version table is neither a record nor an error."""
    assert recorded(comment) == []


@given(st.integers(min_value=0, max_value=10**9))
def test_numbers_are_read_back(number: int) -> None:
    """The number of a revision is read from its id, and from no other plugin's."""
    assert number_of("fleet", f"fleet_{number:04}") == number
    assert number_of("trade", f"fleet_{number:04}") is None
