"""Admin accounts and the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "admin_0001"
down_revision = None
branch_labels = ("admin",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admin_accounts",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("username_folded", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("must_rotate", sa.Boolean, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("locked_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("password_changed_at", sa.DateTime(timezone=True)),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("username_folded", name="admin_accounts_username_folded_key"),
    )
    op.create_table(
        "admin_audit_log",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("admin_id", sa.Uuid),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", JSONB, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False, server_default=sa.text("'unknown'")),
        sa.Column("status", sa.Integer),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.CheckConstraint(
            "outcome IN ('unknown', 'done', 'refused', 'failed')", name=op.f("admin_audit_log_outcome_check")
        ),
    )
    op.create_index("admin_audit_log_at_idx", "admin_audit_log", ["at"])
    op.create_index("admin_audit_log_username_at_idx", "admin_audit_log", ["username", "at"])
