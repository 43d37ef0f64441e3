"""Events and the state of their numbering."""

import sqlalchemy as sa
from alembic import op

revision = "push_0001"
down_revision = None
branch_labels = ("push",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "push_events",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("seq", sa.BigInteger),
        sa.Column("key", sa.Uuid),
        sa.Column("account_id", sa.Uuid),
        sa.Column("session_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("numbered_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="push_events_pkey"),
        sa.UniqueConstraint("seq", name="push_events_seq_key"),
        sa.CheckConstraint("num_nonnulls(account_id, session_id) = 1", name=op.f("push_events_target_check")),
        sa.CheckConstraint("(seq IS NULL) = (numbered_at IS NULL)", name=op.f("push_events_numbered_check")),
    )
    op.create_index("push_events_id_idx", "push_events", ["id"], postgresql_where=sa.text("seq IS NULL"))
    for column, unique in (("key", True), ("account_id", False), ("session_id", False)):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"push_events_{column}_idx", "push_events", [column], unique=unique, postgresql_where=where)
    op.create_table(
        "push_state",
        sa.Column("single", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("trimmed_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("single", name="push_state_pkey"),
        sa.CheckConstraint("single", name=op.f("push_state_single_check")),
        sa.CheckConstraint("trimmed_seq <= last_seq", name=op.f("push_state_order_check")),
    )
    op.execute("""
        INSERT INTO push_state (last_seq, trimmed_seq)
        SELECT beginning, beginning
        FROM CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS beginning
    """)
