"""`new_revision`: the draft of the next revision."""

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.author import new_revision
from galaxy_migrations.branch import Branch
from galaxy_migrations.comparison import drift
from galaxy_migrations.conventions import plugin_metadata
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.runner import migrate


async def test_drafts_make_what_the_tables_say(
    engine: AsyncEngine, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts written one after another, as the tables grow, apply and leave no difference."""
    (tmp_path / "made_by_author").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    metadata = plugin_metadata()
    branch = Branch("made", "made_by_author", metadata)

    table = sa.Table("made_things", metadata, sa.Column("id", sa.Uuid, primary_key=True))
    first = await new_revision(engine, branch, "Baseline")
    assert await new_revision(engine, branch, "nothing new") == tmp_path / "made_by_author" / "0002_nothing_new.py"
    table.append_column(sa.Column("data", postgresql.JSONB, nullable=False, server_default="{}"))
    third = await new_revision(engine, branch, 'Data \\ as the """player\'s""" engine gave it!')

    assert (first.name, third.name) == ("0001_baseline.py", "0003_data_as_the_player_s_engine_gave_it.py")
    applied = await migrate(engine, schema, [branch])
    assert [item.revision for item in applied] == ["made_0001", "made_0002", "made_0003"]
    assert await drift(engine, schema, branch) == []
    async with engine.connect() as connection:
        left = await connection.exec_driver_sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'galaxy%%'")
        assert left.scalar_one() == 0


async def test_message_must_have_words(engine: AsyncEngine) -> None:
    """A message that cannot become a name is refused before anything is done."""
    with pytest.raises(MigrationError, match="needs a message in words"):
        await new_revision(engine, Branch("made", "sys", plugin_metadata()), "…")
    assert "made_0001" not in sys.modules
