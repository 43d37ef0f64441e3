"""Removes one plugin's tables from a schema, for good."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.branch import version_table
from galaxy_migrations.errors import MigrationError, reason
from galaxy_migrations.runner import LOCK_TIMEOUT, WAIT_TIMEOUT
from galaxy_migrations.session import Log, locked, silent
from galaxy_migrations.states import stamps


async def purge(
    engine: AsyncEngine,
    schema: str,
    plugin: str,
    *,
    lock_timeout: timedelta = LOCK_TIMEOUT,
    wait_timeout: timedelta = WAIT_TIMEOUT,
    log: Log = silent,
) -> list[str]:
    """Drop the tables of one plugin, installed or not, and its version table; return their names.

    All or nothing, under the lock of `migrate`. The tables are those recorded when its revisions ran. Raises
    MigrationError where the schema knows no such plugin, where something outside depends on its tables, and where one
    of them is in use for longer than `lock_timeout`.
    """
    version = version_table(plugin)
    async with locked(engine, schema, wait_timeout, log) as connection:
        found = await stamps(connection, schema)
        if plugin not in found:
            known = ", ".join(sorted(found)) or "none"
            raise MigrationError(f"schema {schema!r} has no tables of plugin {plugin!r}; it has those of: {known}")
        tables = [*found[plugin].tables, version]
        quote = connection.dialect.identifier_preparer.quote
        names = ", ".join(f"{quote(schema)}.{quote(table)}" for table in tables)
        milliseconds = f"{max(1, round(lock_timeout.total_seconds() * 1000))}ms"
        try:
            await connection.execute(sa.select(sa.func.set_config("lock_timeout", milliseconds, True)))
            # in one statement, since foreign keys among them may point any way
            await connection.exec_driver_sql(f"DROP TABLE {names}")
            await connection.commit()
        except DBAPIError as error:
            await connection.rollback()
            raise MigrationError(
                f"plugin {plugin!r}: its tables were not dropped: {reason(error)}; stop what uses them, drop "
                f"what depends on them, then run `backend purge {plugin}` again",
                plugin=plugin,
            ) from error
    log(f"dropped {', '.join(tables)}", plugin=plugin)
    return tables
