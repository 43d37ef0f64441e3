"""What people see of a game's clock and orders, in its record."""

import sqlalchemy as sa
from alembic import op

revision = "runtime_0002"
down_revision = "runtime_0001"
branch_labels = None


def upgrade() -> None:
    seats = sa.ARRAY(sa.SmallInteger())
    op.add_column("runtime_records", sa.Column("tick_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runtime_records", sa.Column("sent", seats, server_default=sa.text("'{}'"), nullable=False))
    op.add_column("runtime_records", sa.Column("final", seats, server_default=sa.text("'{}'"), nullable=False))
