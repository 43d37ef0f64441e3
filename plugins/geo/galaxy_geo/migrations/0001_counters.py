"""Countries counted by account, and the accounts of which nothing is counted any more."""

import sqlalchemy as sa
from alembic import op

revision = "geo_0001"
down_revision = None
branch_labels = ("geo",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_country_counters",
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "country", name="user_country_counters_pkey"),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("user_country_counters_country_check")),
        sa.CheckConstraint("requests > 0", name=op.f("user_country_counters_requests_check")),
    )
    op.create_table(
        "geo_forgotten_accounts",
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="geo_forgotten_accounts_pkey"),
    )
