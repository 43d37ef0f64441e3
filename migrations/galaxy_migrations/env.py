"""The one Alembic environment: a revision of any plugin, run on a connection or written out as SQL.

It uses Alembic's objects and no `env.py` file, so that nothing is read from the working directory, no logging is
configured, and the only global left is `alembic.op`, which revisions speak to.
"""

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from sqlalchemy.schema import SetTableComment

from galaxy_migrations.branch import VERSION_TABLE_PREFIX, Chain, version_table
from galaxy_migrations.states import TABLES, record, recorded

_OPERATIONS = threading.Lock()


@contextlib.asynccontextmanager
async def operations() -> AsyncIterator[None]:
    """Use `alembic.op` exclusively: it is global, and two runners would write to each other's database."""
    while not _OPERATIONS.acquire(blocking=False):  # noqa: ASYNC110 - runners may be in several loops and threads
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        _OPERATIONS.release()


def apply(connection: sa.Connection, schema: str, chain: Chain, revision: Script, lock_timeout: timedelta) -> None:
    """Run one revision and stamp it in one transaction; within `operations`.

    The tables it makes are recorded with it, so that `purge` knows them when the plugin is no longer installed.
    """
    before: set[str] = set()

    def steps(*_: Any) -> Iterator[MigrationStep]:
        milliseconds = f"{max(1, round(lock_timeout.total_seconds() * 1000))}ms"
        connection.execute(sa.select(sa.func.set_config("lock_timeout", milliseconds, True)))
        before.update(_tables(connection, schema))
        yield MigrationStep.upgrade_from_script(chain.scripts.revision_map, revision)

    def keep_record(ctx: MigrationContext, **_: Any) -> None:
        comments = _tables(connection, schema)
        made = comments.keys() - before
        known = set(recorded(comments[version_table(chain.plugin)])) & comments.keys()
        owned = {name for name in made | known if not name.startswith(VERSION_TABLE_PREFIX)}
        ctx.execute(_comment(schema, chain.plugin, owned))

    context = MigrationContext.configure(
        connection=connection, opts=_options(schema, chain, steps) | {"on_version_apply": (keep_record,)}
    )
    _run(context)


def render(schema: str, chain: Chain, current: str | None, tables: Sequence[str]) -> str:
    """Write the SQL that brings a branch from a revision to its head; within `operations`."""
    pending = chain.after(current)
    if not pending:
        return ""

    def steps(*_: Any) -> Iterator[MigrationStep]:
        for revision in pending:
            yield MigrationStep.upgrade_from_script(chain.scripts.revision_map, revision)

    def keep_record(ctx: MigrationContext, heads: set[str], **_: Any) -> None:
        if heads == {chain.head}:
            ctx.execute(_comment(schema, chain.plugin, {*tables, *chain.branch.metadata.tables}))

    buffer = io.StringIO()
    offline = {"as_sql": True, "output_buffer": buffer, "literal_binds": True, "on_version_apply": (keep_record,)}
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # psycopg2's would double every %
        opts=_options(schema, chain, steps) | offline | {"starting_rev": current},
    )
    _run(context)
    return buffer.getvalue()


def _options(schema: str, chain: Chain, steps: Callable[..., Iterator[MigrationStep]]) -> dict[str, Any]:
    return {
        "fn": steps,
        "script": chain.scripts,
        "transaction_per_migration": True,
        "version_table": version_table(chain.plugin),
        "version_table_schema": schema,
    }


def _run(context: MigrationContext) -> None:
    failure: BaseException | None = None
    with Operations.context(context):  # which leaves itself installed if an exception passes through
        try:
            context.run_migrations()
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


def _tables(connection: sa.Connection, schema: str) -> dict[str, str | None]:
    return {row[0]: row[1] for row in connection.execute(TABLES, {"schema": schema})}


def _comment(schema: str, plugin: str, tables: set[str]) -> SetTableComment:
    return SetTableComment(sa.Table(version_table(plugin), sa.MetaData(), schema=schema, comment=record(tables)))
