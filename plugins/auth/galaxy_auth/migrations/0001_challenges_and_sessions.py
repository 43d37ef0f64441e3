"""Challenges and device sessions."""

import sqlalchemy as sa
from alembic import op

revision = "auth_0001"
down_revision = None
branch_labels = ("auth",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "auth_challenges",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("address_key", sa.LargeBinary, nullable=False),
        sa.Column("client_key", sa.LargeBinary, nullable=False),
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.SmallInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="auth_challenges_pkey"),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("auth_challenges_tries_check")),
    )
    for column in ("address_key", "client_key"):
        name = f"auth_challenges_{column}_created_at_idx"
        op.create_index(name, "auth_challenges", [column, "created_at"])
    op.create_index("auth_challenges_created_at_idx", "auth_challenges", ["created_at"])
    op.create_table(
        "device_sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("device_name", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="device_sessions_pkey"),
        sa.UniqueConstraint("token_hash", name="device_sessions_token_hash_key"),
    )
    op.create_index("device_sessions_account_id_idx", "device_sessions", ["account_id"])
