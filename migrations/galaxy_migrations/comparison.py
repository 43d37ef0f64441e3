"""Whether a plugin's revisions create the tables that its code describes.

PostgreSQL itself decides: the tables of `tables.py` are created in a scratch schema, both schemas are read back from
the catalogue in PostgreSQL's own words, and the scratch is rolled back. So everything counts that PostgreSQL prints,
including what Alembic's comparison ignores: check constraints, the conditions of partial indexes, what a foreign key
does on delete, storage parameters. The order of columns does not count.
"""

import uuid

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateSchema

from galaxy_migrations.branch import Branch
from galaxy_migrations.states import stamps

Description = dict[tuple[str, str, str], str]

_CATALOGUE = sa.text("""
    WITH tables AS (
        SELECT c.oid, c.relname::text AS name, c.relkind, c.reloptions
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND c.relname = ANY(:tables)
    )
    SELECT name, 'table', name, concat_ws(' ', 'table',
        CASE relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(oid) END,
        'with (' || array_to_string(reloptions, ', ') || ')')
    FROM tables
    UNION ALL
    SELECT t.name, 'column', a.attname::text, concat_ws(' ',
        format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> y.typcollation THEN 'collate ' || l.collname END,
        CASE WHEN a.attnotnull THEN 'not null' END,
        CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
        CASE a.attgenerated WHEN '' THEN 'default ' ELSE 'generated as ' END || pg_get_expr(d.adbin, d.adrelid))
    FROM tables t
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type y ON y.oid = a.atttypid
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT t.name, 'constraint', c.conname::text, pg_get_constraintdef(c.oid, true)
    FROM tables t JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT t.name, 'index', x.relname::text,
        pg_get_indexdef(i.indexrelid, 0, true) || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END
    FROM tables t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
""").bindparams(sa.bindparam("tables", type_=sa.ARRAY(sa.Text)))


async def drift(engine: AsyncEngine, schema: str, branch: Branch) -> list[str]:
    """Compare a migrated schema with the plugin's metadata; return the differences, an empty list if there are none.

    Compares the tables that the metadata or the branch's revisions have. Leaves nothing behind.
    """
    async with engine.connect() as connection:
        found = await stamps(connection, schema)
        made = found[branch.plugin].tables if branch.plugin in found else ()
        tables = sorted({*made, *branch.metadata.tables})
        return await connection.run_sync(_compare, schema, branch, tables)  # closing rolls back


def _compare(connection: sa.Connection, schema: str, branch: Branch, tables: list[str]) -> list[str]:
    migrated = _describe(connection, schema, tables)
    scratch = f"galaxy_drift_{uuid.uuid4().hex}"
    connection.execute(CreateSchema(scratch))
    _enter(connection, scratch)
    branch.metadata.create_all(connection, checkfirst=False)
    declared = _describe(connection, scratch, tables)
    return [
        f"{branch.plugin}: {table}: {kind} {name!r}: the revisions make {_said(migrated, key)}, "
        f"the metadata says {_said(declared, key)}"
        for key in sorted(migrated.keys() | declared.keys())
        if migrated.get(key) != declared.get(key)
        for table, kind, name in [key]
    ]


def _describe(connection: sa.Connection, schema: str, tables: list[str]) -> Description:
    _enter(connection, schema)
    rows = connection.execute(_CATALOGUE, {"schema": schema, "tables": tables})
    return {(table, kind, name): text for table, kind, name, text in rows}


def _enter(connection: sa.Connection, schema: str) -> None:
    """Set the search path: PostgreSQL prints names on it without their schema."""
    path = sa.func.concat_ws(", ", sa.func.quote_ident(schema), "public")
    connection.execute(sa.select(sa.func.set_config("search_path", path, True)))


def _said(description: Description, key: tuple[str, str, str]) -> str:
    return f"`{description[key]}`" if key in description else "nothing"
