"""The schema at boot: collects the branches and applies them, or refuses to run against an older schema."""

from collections.abc import Iterable
from typing import Any

from galaxy_chassis.errors import BootError
from galaxy_chassis.logs import get_logger
from galaxy_kernel.core.assembly import KERNEL
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.database import Database, diagnose
from galaxy_kernel.errors import PluginError
from galaxy_kernel.tables import metadata
from galaxy_migrations.branch import Branch
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.runner import migrate
from galaxy_migrations.states import BranchState, check

_log = get_logger("galaxy_kernel.core.schema", plugin=KERNEL)

KERNEL_BRANCH = Branch(KERNEL, "galaxy_kernel.migrations", metadata)


def branches(plugins: PluginSet) -> list[Branch]:
    """Return the kernel's branch and those of the plugins, in dependency order.

    Raise PluginError where two claim one table.
    """
    found = [KERNEL_BRANCH]
    found += [Branch(name, own.package, own.metadata) for name, own in plugins.call("backend_migrations")]
    owners: dict[str, str] = {}
    for branch, table in _tables(found):
        owner = owners.setdefault(table, branch.plugin)
        if owner != branch.plugin:
            raise PluginError(
                f"plugins {owner!r} and {branch.plugin!r} both have a table {table!r}: "
                "add one of them to BACKEND_PLUGINS_DISABLED"
            )
    return found


async def bring_up(database: Database, plugins: PluginSet, *, apply: bool) -> None:
    """Apply what is missing, or with `apply=False` refuse a schema older than the code; one that is newer warns.

    Raise BootError naming plugin and command.
    """
    found = branches(plugins)
    try:
        states = await check(database.engine, database.schema, found)
        if apply and not all(state.runs for state in states):
            await migrate(database.engine, database.schema, found, log=_report)
            states = await check(database.engine, database.schema, found)
    except MigrationError as error:
        raise BootError(str(error)) from error
    except Exception as error:
        if (told := diagnose(error)) is None:
            raise
        raise BootError(f"Postgres, at the schema: {told}") from error
    refused = [state for state in states if not state.runs]
    if refused:
        raise BootError("; ".join(state.message for state in refused))
    for state in states:
        if state.state == "newer":
            _log.warning("newer_schema_accepted", branch=state.plugin, current=state.current, known=state.head)


def describe(states: Iterable[BranchState]) -> list[dict[str, Any]]:
    """Return rows for the command line."""
    columns = ("plugin", "state", "current", "head", "message")
    return [{name: getattr(each, name) for name in columns} for each in states]


def _report(message: str, *, plugin: str | None = None) -> None:
    _log.info("migration_progressed", branch=plugin, message=message)


def _tables(found: Iterable[Branch]) -> Iterable[tuple[Branch, str]]:
    return ((branch, table) for branch in found for table in branch.metadata.tables)
