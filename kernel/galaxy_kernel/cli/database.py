"""Commands about the schema: `migrate` and `purge`."""

import asyncio
import sys
from typing import Annotated

import typer

from galaxy_chassis.cli import AsJson, print_json, print_rows
from galaxy_chassis.errors import BootError
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import KERNEL, assemble
from galaxy_kernel.core.offline import opened
from galaxy_kernel.database import schema_of
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.removal import purge as remove
from galaxy_migrations.runner import migrate as run
from galaxy_migrations.runner import offline_sql
from galaxy_migrations.states import check, orphans


def migrate(
    check_only: Annotated[bool, typer.Option("--check", help="Change nothing; status 1 if something is due.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL from an empty schema; needs no database.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the schema up to date."""
    try:
        status = asyncio.run(_migrate(check_only=check_only, sql=sql, as_json=as_json))
    except MigrationError as error:
        raise BootError(str(error)) from error
    raise typer.Exit(status)


async def _migrate(*, check_only: bool, sql: bool, as_json: bool) -> int:
    assembly = assemble()
    found = schema.branches(assembly.plugins)
    if sql:
        settings = assembly.kernel_settings
        name = "backend" if settings.postgres_dsn is None else schema_of(settings.dsn)
        sys.stdout.write(await offline_sql(found, name))
        return 0
    async with opened(assembly.configuration) as database:
        if not check_only:
            await run(database.engine, database.schema, found, log=_say)
        states = await check(database.engine, database.schema, found)
        left = await orphans(database.engine, database.schema, {branch.plugin for branch in found})
    disabled = {each.name for each in assembly.disabled}
    rows = schema.describe(states)
    for name in left:
        state = "disabled" if name in disabled else "orphaned"
        remedy = "its tables are kept" if name in disabled else f"not installed: install it, or `backend purge {name}`"
        rows.append({"plugin": name, "state": state, "current": None, "head": None, "message": remedy})
    print_rows(rows, ("plugin", "state", "current", "head", "message"), as_json=as_json)
    return 0 if all(state.runs for state in states) else 1


def _say(message: str, *, plugin: str | None = None) -> None:
    sys.stderr.write(f"{plugin or KERNEL}: {message}\n")


def purge(
    plugin: Annotated[str, typer.Argument(help="Name of the plugin, installed or not.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop the tables of one plugin. Refused while the plugin is enabled here."""
    assembly = assemble()
    if plugin == KERNEL or plugin in assembly.plugins.names:
        raise BootError(f"plugin {plugin!r} is in use: uninstall it or add it to BACKEND_PLUGINS_DISABLED first")
    if not yes:
        typer.confirm(f"Drop every table of plugin {plugin!r}, with its data?", abort=True)

    async def work() -> list[str]:
        async with opened(assembly.configuration) as database:
            return await remove(database.engine, database.schema, plugin)

    try:
        dropped = asyncio.run(work())
    except MigrationError as error:
        raise BootError(str(error)) from error
    if as_json:
        print_json(dropped)
    else:
        sys.stdout.write("".join(f"dropped {table}\n" for table in dropped))
