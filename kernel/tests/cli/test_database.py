"""Commands about the database, on one: migrating, looking, and removing a plugin's tables."""

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from galaxy_kernel.cli import database as under_test
from galaxy_kernel.cli.database import migrate, purge
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.states import record

Backend = Callable[..., Any]


def execute(dsn: str, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None


def tables(dsn: str) -> set[str]:
    rows = execute(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'backend'")
    return {name for (name,) in rows}


@pytest.fixture
def migrated(backend: Backend, empty_database: str) -> str:
    """Return the DSN of a database that was migrated."""
    assert backend(migrate, BACKEND_POSTGRES_DSN=empty_database).status == 0
    return empty_database


def test_checking_changes_nothing(backend: Backend, empty_database: str) -> None:
    """Status 1 says that something is due; after migrating it is 0."""
    environment = {"BACKEND_POSTGRES_DSN": empty_database}
    done = backend(migrate, "--check", "--json", **environment)
    assert (done.status, [row["state"] for row in done.json]) == (1, ["missing"])
    assert tables(empty_database) == set()
    done = backend(migrate, "--json", **environment)
    assert (done.status, [row["state"] for row in done.json]) == (0, ["current"])
    assert "kernel" in done.stderr  # what is done is told while it is done
    done = backend(migrate, "--check", "--json", **environment)
    assert (done.status, done.stderr) == (0, "")


def test_the_script_needs_no_database(backend: Backend) -> None:
    """It is for the schema of the DSN where there is one, and for `backend` otherwise."""
    done = backend(migrate, "--sql")
    assert done.status == 0
    assert "feed_changes" in done.stdout
    assert "backend" in done.stdout
    done = backend(migrate, "--sql", BACKEND_POSTGRES_DSN="postgres://nobody@127.0.0.1:1/none?search_path=ours")
    assert "ours" in done.stdout


def test_a_migration_that_cannot_be_is_one_sentence(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1, and no traceback."""

    async def fail(*_: Any) -> str:
        raise MigrationError("plugin 'lamp': no such revision")

    monkeypatch.setattr(under_test, "offline_sql", fail)
    done = backend(migrate, "--sql")
    assert (done.status, done.stderr) == (1, "backend: plugin 'lamp': no such revision\n")


@pytest.mark.parametrize(("off", "plugin", "state"), [("bench", "bench", "disabled"), ("", "gone", "orphaned")])
def test_tables_of_a_plugin_that_is_not_here_are_listed(
    backend: Backend, migrated: str, off: str, plugin: str, state: str
) -> None:
    """Of one that is off they are kept; of one that is gone it says how to remove them. Neither is due."""
    leave_behind(migrated, plugin)
    done = backend(migrate, "--check", "--json", BACKEND_POSTGRES_DSN=migrated, BACKEND_PLUGINS_DISABLED=off)
    assert done.status == 0
    assert {row["plugin"]: row["state"] for row in done.json} == {"kernel": "current", plugin: state}
    assert (f"backend purge {plugin}" in done.json[-1]["message"]) == (state == "orphaned")


def leave_behind(dsn: str, plugin: str) -> None:
    """Leave what the revisions of a plugin leave in a schema."""
    execute(dsn, f"CREATE TABLE backend.{plugin}_things (id int)")
    execute(dsn, f"CREATE TABLE backend.alembic_version_{plugin} (version_num text)")
    execute(dsn, f"INSERT INTO backend.alembic_version_{plugin} VALUES ('{plugin}_0001')")
    comment = record([f"{plugin}_things"])
    execute(dsn, f"COMMENT ON TABLE backend.alembic_version_{plugin} IS '{comment}'")


@pytest.mark.parametrize("plugin", ["kernel", "lamp"])
def test_what_is_in_use_is_not_purged(backend: Backend, migrated: str, plugin: str) -> None:
    """The refusal comes before anything is connected to."""
    done = backend(purge, plugin, "--yes", BACKEND_POSTGRES_DSN=migrated)
    assert done.status == 1
    assert repr(plugin) in done.stderr
    assert "feed_changes" in tables(migrated)


def test_purging_asks_first(backend: Backend, migrated: str) -> None:
    """A no keeps every table; a yes, or `--yes`, drops those of the plugin alone and names them."""
    before = tables(migrated)
    leave_behind(migrated, "gone")
    environment = {"BACKEND_POSTGRES_DSN": migrated}
    assert backend(purge, "gone", answers="n\n", **environment).status == 1
    assert "gone_things" in tables(migrated)
    done = backend(purge, "gone", answers="y\n", **environment)
    assert done.status == 0
    assert "dropped gone_things\n" in done.stdout
    assert tables(migrated) == before


def test_purging_tells_scripts_what_it_dropped(backend: Backend, migrated: str) -> None:
    """A plugin that has nothing there is a fault, not an empty list."""
    leave_behind(migrated, "gone")
    environment = {"BACKEND_POSTGRES_DSN": migrated}
    assert set(backend(purge, "gone", "--yes", "--json", **environment).json) == {"gone_things", "alembic_version_gone"}
    done = backend(purge, "gone", "--yes", "--json", **environment)
    assert (done.status, done.stdout) == (1, "")
    assert "'gone'" in done.stderr


def test_without_a_dsn_it_is_asked_for(backend: Backend) -> None:
    """78, since no other try mends it."""
    for command, arguments in ((migrate, ()), (purge, ("gone", "--yes"))):
        done = backend(command, *arguments)
        assert done.status == 78
        assert "BACKEND_POSTGRES_DSN" in done.stderr
