"""Challenges by mailbox and client network, networks that signed in, and wrong codes."""

import sqlalchemy as sa
from alembic import op

revision = "auth_0002"
down_revision = "auth_0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("mailbox_key", sa.LargeBinary),
        sa.Column("site_key", sa.LargeBinary),
        sa.Column("network_key", sa.LargeBinary),
        sa.Column("known", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("tries_allowed", sa.SmallInteger, server_default=sa.text("5"), nullable=False),
        sa.Column("written_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
    ):
        op.add_column("auth_challenges", column)
    for keys in (["mailbox_key", "network_key"], ["mailbox_key", "site_key"], ["site_key"], ["network_key"]):
        name = f"auth_challenges_{'_'.join(keys)}_created_at_idx"
        op.create_index(name, "auth_challenges", [*keys, "created_at"])
    strangers, open_ = sa.text("NOT known"), sa.text("email IS NOT NULL")
    for name, columns, where in (
        ("mailbox_strangers", ["mailbox_key", "created_at"], strangers),
        ("strangers", ["created_at"], strangers),
        ("open", ["expires_at"], open_),
    ):
        op.create_index(f"auth_challenges_{name}_idx", "auth_challenges", columns, postgresql_where=where)
    op.create_table(
        "auth_known_networks",
        sa.Column("mailbox_key", sa.LargeBinary, nullable=False),
        sa.Column("site_key", sa.LargeBinary, nullable=False),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("mailbox_key", "site_key", "account_id", name="auth_known_networks_pkey"),
    )
    for key in ("account_id", "seen_at"):
        op.create_index(f"auth_known_networks_{key}_idx", "auth_known_networks", [key])
    op.create_table(
        "auth_wrong_codes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="auth_wrong_codes_pkey"),
    )
    op.create_index("auth_wrong_codes_at_idx", "auth_wrong_codes", ["at"])
