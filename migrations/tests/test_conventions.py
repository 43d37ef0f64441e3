"""Names of constraints and indexes."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.conventions import plugin_metadata

BY_HAND = """
    CREATE TABLE pairs (
        a bigint, b bigint, c bigint UNIQUE CHECK (c > 0), d bigint REFERENCES pairs (c),
        PRIMARY KEY (a, b), UNIQUE (b, c), FOREIGN KEY (b, d) REFERENCES pairs (b, c)
    );
    CREATE INDEX ON pairs (c, d)
"""
NAMES = """
    SELECT conname FROM pg_constraint WHERE conrelid = 'pairs'::regclass AND contype <> 'n'
    UNION SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'pairs'::regclass ORDER BY 1
"""


async def test_names_are_those_that_postgres_gives(engine: AsyncEngine) -> None:
    """Constraints and indexes of a plugin's tables are called as PostgreSQL calls those it names itself."""
    metadata = plugin_metadata()
    sa.Table(
        "pairs",
        metadata,
        *(sa.Column(name, sa.BigInteger, primary_key=name in "ab") for name in "abcd"),
        sa.UniqueConstraint("c"),
        sa.CheckConstraint("c > 0", name="c"),
        sa.ForeignKeyConstraint(["d"], ["pairs.c"]),
        sa.UniqueConstraint("b", "c"),
        sa.ForeignKeyConstraint(["b", "d"], ["pairs.b", "pairs.c"]),
        sa.Index(None, "c", "d"),
    )
    found = []
    for create in (metadata.create_all, lambda sync: sync.exec_driver_sql(BY_HAND)):
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SET LOCAL search_path TO public")
            await connection.run_sync(create)
            found.append((await connection.exec_driver_sql(NAMES)).scalars().all())
    assert found[0] == found[1]
    assert len(found[0]) == 7
