"""The switch of the admin channel, on."""

import sqlalchemy as sa
from alembic import op

revision = "adminchannel_0001"
down_revision = None
branch_labels = ("adminchannel",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admin_channel",
        sa.Column("sole", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("enabled", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("sole", name="admin_channel_pkey"),
        sa.CheckConstraint("sole", name=op.f("admin_channel_sole_check")),
    )
    op.execute("INSERT INTO admin_channel DEFAULT VALUES")
