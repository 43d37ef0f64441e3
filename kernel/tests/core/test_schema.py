"""The schema at boot: whose branches there are, and bringing them up or refusing an older one."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from galaxy_chassis.errors import BootError
from galaxy_kernel.core import schema
from galaxy_kernel.core.manifest import Migrations
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.errors import PluginError
from galaxy_migrations.conventions import plugin_metadata
from galaxy_migrations.states import check

REVISION = '''"""{doc}"""

import sqlalchemy as sa
from alembic import op

revision = "{plugin}_{number:04d}"
down_revision = {down!r}
branch_labels = {labels!r}


def upgrade() -> None:
    {upgrade}
'''
Installed = Callable[..., Migrations]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Return what lays out a plugin's migrations, one statement a revision, with a table `<plugin>_things`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = 0

    def install(plugin: str, *upgrades: str, table: str = "") -> Migrations:
        nonlocal made
        made += 1
        package = tmp_path / f"schema_{plugin}_{tmp_path.name.replace('-', '_')}_{made}"
        package.mkdir()
        (package / "__init__.py").touch()
        for number, upgrade in enumerate(upgrades, start=1):
            down = f"{plugin}_{number - 1:04d}" if number > 1 else None
            labels = None if number > 1 else (plugin,)
            text = REVISION.format(doc=upgrade[:40].replace('"', ""), plugin=plugin, number=number, down=down,
                                   labels=labels, upgrade=upgrade)  # fmt: skip
            (package / f"{number:04d}_change.py").write_text(text)
        metadata = plugin_metadata()
        sa.Table(table or f"{plugin}_things", metadata, sa.Column("id", sa.Uuid, primary_key=True))
        return Migrations(package.name, metadata)

    return install


def create(table: str) -> str:
    return f'op.create_table("{table}", sa.Column("id", sa.Uuid, primary_key=True))'


def plugins(**migrations: Any) -> PluginSet:
    found = PluginSet()
    for name, given in migrations.items():
        found.register(name, _plugin(given))
    return found


def _plugin(migrations: Any) -> object:
    class Plugin:
        def backend_migrations(self) -> Any:
            return migrations

    return Plugin()


@pytest.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    database = Database(make_engine(empty_database), "backend")
    yield database
    await database.close()


async def states(database: Database, found: PluginSet) -> dict[str, str]:
    return {
        state.plugin: state.state for state in await check(database.engine, database.schema, schema.branches(found))
    }


def test_the_kernels_branch_is_first_and_then_the_plugins_in_their_order(installed: Installed) -> None:
    """A plugin's migrations may use the kernel's tables, and those of what it requires."""
    found = plugins(zoo=installed("zoo"), ant=installed("ant"))
    found.register("plain", object())
    assert [branch.plugin for branch in schema.branches(found)] == ["kernel", "zoo", "ant"]


@pytest.mark.parametrize("table", ["one_things", "facts"])
def test_a_table_has_one_owner(installed: Installed, table: str) -> None:
    """Two plugins with one table are refused by name, and so is a plugin with a table of the kernel's."""
    found = plugins(one=installed("one"), two=installed("two", table=table))
    with pytest.raises(PluginError, match=rf"'{'one' if table == 'one_things' else 'kernel'}' and 'two'.*'{table}'"):
        schema.branches(found)


def test_what_is_no_branch_is_refused_by_name() -> None:
    """A hook that returns the tables alone is told so."""
    with pytest.raises(PluginError, match=r"plugin 'one'.*Migrations"):
        schema.branches(plugins(one=plugin_metadata()))


async def test_what_is_missing_is_applied(database: Database, installed: Installed) -> None:
    """An empty database gets every branch; doing it again does nothing, and a new revision is applied alone."""
    found = plugins(one=installed("one", create("one_things")))
    await schema.bring_up(database, found, apply=True)
    assert await states(database, found) == {"kernel": "current", "one": "current"}
    with capture_logs() as lines:
        await schema.bring_up(database, found, apply=True)
    assert [line for line in lines if line["event"] == "migration"] == []
    found = plugins(one=installed("one", create("one_things"), create("one_more")))
    with capture_logs() as lines:
        await schema.bring_up(database, found, apply=True)
    assert {line["branch"] for line in lines if line["event"] == "migration"} == {"one"}
    assert await states(database, found) == {"kernel": "current", "one": "current"}


async def test_an_older_schema_is_refused_with_what_to_do(database: Database, installed: Installed) -> None:
    """Every branch that is behind is named, with the command; nothing is changed."""
    found = plugins(one=installed("one", create("one_things")))
    with pytest.raises(BootError) as caught:
        await schema.bring_up(database, found, apply=False)
    assert all(word in str(caught.value) for word in ("'kernel'", "'one'", "backend migrate"))
    assert await states(database, found) == {"kernel": "missing", "one": "missing"}


async def test_a_newer_schema_is_a_warning(database: Database, installed: Installed) -> None:
    """During a rolling update the old code runs on: what is newer only got additions."""
    newer = plugins(one=installed("one", create("one_things"), create("one_more")))
    await schema.bring_up(database, newer, apply=True)
    older = plugins(one=installed("one", create("one_things")))
    for apply in (True, False):
        with capture_logs() as lines:
            await schema.bring_up(database, older, apply=apply)
        (warning,) = [line for line in lines if line["log_level"] == "warning"]
        assert (warning["event"], warning["branch"]) == ("schema_newer", "one")
        assert (warning["current"], warning["known"]) == ("one_0002", "one_0001")


async def test_a_migration_that_fails_refuses_the_boot_by_name(database: Database, installed: Installed) -> None:
    """The error says whose it is, and what was before it stays."""
    found = plugins(one=installed("one", create("one_things"), 'op.execute("SELECT 1 / 0")'))
    with pytest.raises(BootError, match="'one'"):
        await schema.bring_up(database, found, apply=True)
    assert (await states(database, found))["kernel"] == "current"


async def test_rows_for_the_command_line(database: Database, installed: Installed) -> None:
    """A row a branch, with what a person or a script asks."""
    found = plugins(one=installed("one", create("one_things")))
    await schema.bring_up(database, found, apply=True)
    rows = schema.describe(await check(database.engine, database.schema, schema.branches(found)))
    assert [(row["plugin"], row["state"]) for row in rows] == [("kernel", "current"), ("one", "current")]
    assert rows[1]["current"] == rows[1]["head"] == "one_0001"
    assert {frozenset(row) for row in rows} == {frozenset(("plugin", "state", "current", "head", "message"))}
