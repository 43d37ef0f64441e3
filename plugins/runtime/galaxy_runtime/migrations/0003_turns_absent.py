"""Who is absent from a turn is decided once, at its first claim, and kept until the turn is done."""

import sqlalchemy as sa
from alembic import op

revision = "runtime_0003"
down_revision = "runtime_0002"
branch_labels = None


def upgrade() -> None:
    op.add_column("runtime_records", sa.Column("absent", sa.ARRAY(sa.SmallInteger()), nullable=True))
