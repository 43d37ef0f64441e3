"""Which generation of an engine ran out of memory: a turn that it breaks asks for that afterwards."""

import sqlalchemy as sa
from alembic import op

revision = "runtime_0005"
down_revision = "runtime_0004"
branch_labels = None


def upgrade() -> None:
    op.add_column("runtime_records", sa.Column("oom_generation", sa.Integer(), nullable=True))
