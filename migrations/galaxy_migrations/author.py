"""Writes the next revision of a plugin, for its author."""

import re
import uuid
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations.ops import UpgradeOps
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateSchema, DropSchema

from galaxy_migrations.branch import Branch, Chain, locate, read, version_table
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.runner import migrate

_TEMPLATE = '''"""{message}."""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision = {previous}
{label}

def upgrade() -> None:
{body}
'''


async def new_revision(engine: AsyncEngine, branch: Branch, message: str) -> Path:
    """Write the branch's next revision from the difference between its tables and its revisions; return the file.

    Any database is suitable: the revisions run in a scratch schema, dropped at the end. The file is a draft: Alembic
    sees no check constraint and no condition of an index (`drift` does), and knows nothing of locks.
    """
    words = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    if not words:
        raise MigrationError("a revision needs a message in words, which becomes its name", plugin=branch.plugin)
    chain = read(branch, may_be_empty=True)
    scratch = f"galaxy_revision_{uuid.uuid4().hex}"
    try:
        async with engine.begin() as connection:
            await connection.execute(CreateSchema(scratch))
        if chain.revisions:
            await migrate(engine, scratch, [branch])
        async with engine.connect() as connection:
            body = await connection.run_sync(_difference, scratch, branch)
    finally:
        async with engine.begin() as connection:
            await connection.execute(DropSchema(scratch, cascade=True))
    number = len(chain.revisions) + 1
    path = locate(branch) / f"{number:04}_{words[:60].rstrip('_')}.py"
    path.write_text(_text(chain, number, message, body))
    return path


def _difference(connection: sa.Connection, schema: str, branch: Branch) -> str:
    path = sa.func.quote_ident(schema)
    connection.execute(sa.select(sa.func.set_config("search_path", path, True)))
    context = MigrationContext.configure(
        connection=connection,
        opts={"compare_server_default": True, "version_table": version_table(branch.plugin)},
    )
    operations = produce_migrations(context, branch.metadata).upgrade_ops
    if not isinstance(operations, UpgradeOps):
        raise TypeError("alembic gave no operations")
    return render_python_code(operations, migration_context=context)


def _text(chain: Chain, number: int, message: str, body: str) -> str:
    return _TEMPLATE.format(
        message=re.sub(r"[^\w\s,:;()/'-]", "", message).strip(),
        imports="from sqlalchemy.dialects import postgresql\n" if "postgresql." in body else "",
        revision=f"{chain.plugin}_{number:04}",
        previous=f'"{chain.head}"' if chain.head else None,
        label="" if chain.head else f'branch_labels = ("{chain.plugin}",)\n',
        body=body,
    )
