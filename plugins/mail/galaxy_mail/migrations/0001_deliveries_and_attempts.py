"""The queue of outgoing mail and the attempts to send it."""

import sqlalchemy as sa
from alembic import op

revision = "mail_0001"
down_revision = None
branch_labels = ("mail",)
depends_on = None

_PENDING = "state IN ('pending', 'retrying')"


def upgrade() -> None:
    op.create_table(
        "mail_deliveries",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("mime", sa.LargeBinary),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("state", sa.Text, server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("attempts_before_resend", sa.Integer, server_default="0", nullable=False),
        sa.Column("lease", sa.Integer, server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="mail_deliveries_pkey"),
        sa.CheckConstraint(
            "state IN ('pending', 'retrying', 'sent', 'dead_lettered')", name="mail_deliveries_state_check"
        ),
        sa.CheckConstraint("mime IS NULL OR sealed IS NULL", name="mail_deliveries_one_content_check"),
    )
    # Contents leave the row uncompressed, so that claiming and completing, which rewrite the row, do not copy them.
    op.execute("ALTER TABLE mail_deliveries ALTER COLUMN mime SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE mail_deliveries ALTER COLUMN sealed SET STORAGE EXTERNAL")
    op.create_index(
        "mail_deliveries_idempotency_key",
        "mail_deliveries",
        ["kind", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("mail_deliveries_recipient_idx", "mail_deliveries", [sa.text("lower(recipient)")])
    op.create_index(
        "mail_deliveries_dead_idx", "mail_deliveries", ["id"], postgresql_where=sa.text("state = 'dead_lettered'")
    )
    op.create_index(
        "mail_deliveries_due_idx", "mail_deliveries", ["next_attempt_at"], postgresql_where=sa.text(_PENDING)
    )
    op.create_index(
        "mail_deliveries_expiring_idx",
        "mail_deliveries",
        ["expires_at"],
        postgresql_where=sa.text(f"{_PENDING} AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "mail_deliveries_unwiped_idx",
        "mail_deliveries",
        ["expires_at"],
        postgresql_where=sa.text("state = 'dead_lettered' AND sealed IS NOT NULL"),
    )
    op.create_table(
        "mail_attempts",
        sa.Column("delivery_id", sa.Uuid, nullable=False),
        sa.Column("attempt_no", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("smtp_code", sa.Integer),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("delivery_id", "attempt_no", name="mail_attempts_pkey"),
    )
