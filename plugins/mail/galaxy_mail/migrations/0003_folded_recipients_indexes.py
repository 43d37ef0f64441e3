"""Indexes over the folded recipients, the accounts, and the rows whose recipient is still to be folded."""

import sqlalchemy as sa
from alembic import op

revision = "mail_0003"
down_revision = "mail_0002"
branch_labels = None

_INDEXES = {
    "mail_deliveries_recipient_folded_idx": ("recipient_folded", "recipient_folded IS NOT NULL"),
    "mail_deliveries_account_id_idx": ("account_id", "account_id IS NOT NULL"),
    "mail_deliveries_unfolded_idx": ("id", "recipient IS NOT NULL AND recipient_folded IS NULL"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (column, where) in _INDEXES.items():
            op.drop_index(name, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name, "mail_deliveries", [column], postgresql_where=sa.text(where), postgresql_concurrently=True
            )
