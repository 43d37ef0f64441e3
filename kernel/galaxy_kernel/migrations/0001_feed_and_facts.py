"""The change feed and the outbox of facts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "kernel_0001"
down_revision = None
branch_labels = ("kernel",)
depends_on = None


class Xid8(sa.types.UserDefinedType[str]):
    """Said here again, since a revision imports nothing that may change under it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def upgrade() -> None:
    op.create_table(
        "feed_changes",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("xid", Xid8, server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("horizon", Xid8, server_default=sa.text("pg_snapshot_xmin(pg_current_snapshot())"), nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="feed_changes_pkey"),
    )
    op.create_index("feed_changes_xid_idx", "feed_changes", ["xid"])
    op.create_table(
        "facts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("fact", sa.Text, nullable=False),
        sa.Column("listener", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="facts_pkey"),
    )
    op.create_index("facts_listener_next_attempt_at_idx", "facts", ["listener", "next_attempt_at"])
