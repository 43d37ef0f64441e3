"""Intents, their routes, and what players have switched off."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "notification_0001"
down_revision = None
branch_labels = ("notification",)
depends_on = None

_PENDING = "state IN ('pending', 'retrying')"


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("payload", postgresql.JSONB, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="notifications_pkey"),
        sa.UniqueConstraint("kind", "idempotency_key", name="notifications_kind_idempotency_key_key"),
    )
    op.create_index("notifications_created_at_idx", "notifications", ["created_at"])
    op.create_table(
        "notification_routes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("notification_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("account_id", sa.Uuid),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text, server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("attempts_before_resend", sa.Integer, server_default="0", nullable=False),
        sa.Column("lease", sa.Integer, server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="notification_routes_pkey"),
        sa.CheckConstraint(
            "state IN ('pending', 'retrying', 'sent', 'dead_lettered', 'skipped')",
            name="notification_routes_state_check",
        ),
    )
    op.create_index("notification_routes_notification_id_idx", "notification_routes", ["notification_id"])
    op.create_index(
        "notification_routes_account_id_notification_id_idx", "notification_routes", ["account_id", "notification_id"]
    )
    op.create_index(
        "notification_routes_dead_idx",
        "notification_routes",
        ["notification_id"],
        postgresql_where=sa.text("state = 'dead_lettered'"),
    )
    op.create_index(
        "notification_routes_due_idx", "notification_routes", ["next_attempt_at"], postgresql_where=sa.text(_PENDING)
    )
    op.create_index(
        "notification_routes_expiring_idx",
        "notification_routes",
        ["expires_at"],
        postgresql_where=sa.text(f"{_PENDING} AND expires_at IS NOT NULL"),
    )
    op.create_table(
        "notification_mutes",
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "kind", "channel", name="notification_mutes_pkey"),
    )
