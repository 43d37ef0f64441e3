"""The kernel's own tables: their 64-bit transaction ids, and that the revisions make what is described."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from galaxy_kernel.core.schema import KERNEL_BRANCH
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.tables import Xid8, facts, feed_changes
from galaxy_migrations.comparison import drift
from galaxy_migrations.runner import migrate


@pytest.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    """Return a database with the schema that the kernel's revisions make."""
    database = Database(make_engine(empty_database), "backend")
    await migrate(database.engine, database.schema, [KERNEL_BRANCH])
    yield database
    await database.close()


def test_xid8_is_postgres_own_type() -> None:
    """It is written by its name, and statements with it are cached."""
    assert Xid8().get_col_spec() == "xid8"
    assert Xid8.cache_ok


async def test_the_revisions_make_what_is_described(database: Database) -> None:
    """Neither the revisions nor the tables here know of something that the others lack."""
    assert await drift(database.engine, database.schema, KERNEL_BRANCH) == []


async def test_reflection_knows_xid8(database: Database) -> None:
    """Without its registration SQLAlchemy would warn, and the check of the schema would fail by that."""

    def columns(connection: sa.Connection) -> dict[str, object]:
        found = sa.inspect(connection).get_columns("feed_changes", schema="backend")
        return {column["name"]: column["type"] for column in found}

    async with database.engine.connect() as connection:
        found = await connection.run_sync(columns)
    assert isinstance(found["xid"], Xid8)
    assert isinstance(found["horizon"], Xid8)


async def test_a_change_carries_its_transaction_and_the_horizon(database: Database) -> None:
    """Two changes of one transaction have one xid; every transaction before the horizon had ended."""
    change = {"topic": "t", "key": "k", "request_id": "r"}
    query = sa.text(
        "SELECT id, xid::text::bigint AS xid, horizon::text::bigint AS horizon FROM feed_changes ORDER BY id"
    )
    for _ in range(2):
        async with database.transaction() as connection:
            for _ in range(2):
                await connection.execute(feed_changes.insert().values(change))
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    assert [row.id for row in rows] == [1, 2, 3, 4]
    assert rows[0].xid == rows[1].xid < rows[2].xid == rows[3].xid
    assert all(row.horizon <= row.xid for row in rows)


async def test_a_fact_is_due_at_once(database: Database) -> None:
    """What the recorder does not say has its default."""
    row = {"id": sa.func.gen_random_uuid(), "fact": "f", "listener": "l", "payload": "{}", "request_id": "r"}
    async with database.transaction() as connection:
        await connection.execute(facts.insert().values(row))
        due = sa.select(facts.c.attempts, facts.c.next_attempt_at <= sa.func.now(), facts.c.last_error)
        assert (await connection.execute(due)).one() == (0, True, None)
