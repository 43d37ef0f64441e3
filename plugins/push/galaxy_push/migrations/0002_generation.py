"""The generation of the numbering, and where it began."""

import sqlalchemy as sa
from alembic import op

revision = "push_0002"
down_revision = "push_0001"


def upgrade() -> None:
    # a volatile default rewrites the table: it has one row, and each database gets a value of its own
    generation = sa.text("substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 1, 12)")
    op.add_column("push_state", sa.Column("generation", sa.Text, nullable=False, server_default=generation))
    op.add_column("push_state", sa.Column("origin", sa.Text))
