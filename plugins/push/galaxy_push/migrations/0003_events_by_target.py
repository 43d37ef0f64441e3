"""Indexes of numbered events by their target, in order: a replay reads one account's events, and one session's."""

from alembic import op
from sqlalchemy import text

revision = "push_0003"
down_revision = "push_0002"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for column in ("account_id", "session_id"):
            name, where = f"push_events_{column}_seq_idx", text(f"{column} IS NOT NULL AND seq IS NOT NULL")
            op.drop_index(name, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, "push_events", [column, "seq"], postgresql_where=where, postgresql_concurrently=True)
