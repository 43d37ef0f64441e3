"""The form by which recipients are compared, and the account that a mail is for."""

import sqlalchemy as sa
from alembic import op

revision = "mail_0002"
down_revision = "mail_0001"
branch_labels = None


def upgrade() -> None:
    op.add_column("mail_deliveries", sa.Column("recipient_folded", sa.Text))
    op.add_column("mail_deliveries", sa.Column("account_id", sa.Uuid))
