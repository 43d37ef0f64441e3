"""The games that have a place for an engine are counted at each start of one."""

import sqlalchemy as sa
from alembic import op

revision = "runtime_0004"
down_revision = "runtime_0003"
branch_labels = None

_NAME = "runtime_records_places_idx"


def upgrade() -> None:
    placed = sa.text("handle IS NOT NULL OR status IN ('pulling', 'starting')")
    with op.get_context().autocommit_block():
        op.drop_index(_NAME, if_exists=True, postgresql_concurrently=True)
        op.create_index(_NAME, "runtime_records", ["game_id"], postgresql_where=placed, postgresql_concurrently=True)
