"""Attempts by name and network, networks that signed in, and folded entries of the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "admin_0002"
down_revision = "admin_0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "admin_sign_in_attempts",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="admin_sign_in_attempts_pkey"),
    )
    op.create_index("admin_sign_in_attempts_last_at_idx", "admin_sign_in_attempts", ["last_at"])
    op.create_table(
        "admin_known_networks",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="admin_known_networks_pkey"),
    )
    op.create_index("admin_known_networks_seen_at_idx", "admin_known_networks", ["seen_at"])
    op.add_column("admin_audit_log", sa.Column("fold_key", sa.Text))
    op.create_index(
        "admin_audit_log_fold_key",
        "admin_audit_log",
        ["fold_key"],
        unique=True,
        postgresql_where=sa.text("fold_key IS NOT NULL"),
    )
