"""The tables and the revisions that create them."""

from galaxy_kernel.database import Database, make_engine
from galaxy_mail.tables import metadata
from galaxy_migrations.branch import Branch
from galaxy_migrations.comparison import drift
from galaxy_migrations.runner import migrate


async def test_revisions_make_the_tables(empty_database: str) -> None:
    """The revisions create what the code describes, including constraints and indexes."""
    branch = Branch("mail", "galaxy_mail.migrations", metadata)
    database = Database(make_engine(empty_database), "backend")
    try:
        await migrate(database.engine, "backend", [branch])
        assert await drift(database.engine, "backend", branch) == []
    finally:
        await database.close()
