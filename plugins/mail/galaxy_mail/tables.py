"""The plugin's tables."""

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Table, Text, Uuid, text

from galaxy_kernel.api import QueueStates, history_columns, plugin_metadata, queue_columns, queue_indexes

metadata = plugin_metadata()

STATES = QueueStates(done="sent")
"""What becomes of a delivery."""

mail_deliveries = Table(
    "mail_deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("recipient", Text),
    Column("recipient_folded", Text),
    Column("account_id", Uuid),
    Column("message_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("mime", LargeBinary),
    Column("sealed", LargeBinary),
    *queue_columns(STATES),
    CheckConstraint("mime IS NULL OR sealed IS NULL", name="one_content"),
    Index(
        "mail_deliveries_idempotency_key",
        "kind",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index("mail_deliveries_recipient_idx", text("lower(recipient)")),  # of the previous release
    Index(
        "mail_deliveries_recipient_folded_idx",
        "recipient_folded",
        postgresql_where=text("recipient_folded IS NOT NULL"),
    ),
    Index("mail_deliveries_account_id_idx", "account_id", postgresql_where=text("account_id IS NOT NULL")),
    Index(
        "mail_deliveries_unfolded_idx",
        "id",
        postgresql_where=text("recipient IS NOT NULL AND recipient_folded IS NULL"),
    ),
    Index("mail_deliveries_dead_idx", "id", postgresql_where=text("state = 'dead_lettered'")),
    *queue_indexes("mail_deliveries", STATES, wipe="sealed"),
)
"""One mail to one recipient.

`recipient` is NULL once its account is deleted. `recipient_folded` is the form by which addresses are compared, folded
by us and not by the database, whose `lower` depends on its locale; where a previous release queued the mail it is NULL
until a worker has filled it. `account_id` is set for a mail to an account. A mail is in `mime`, or, if it carries a
secret, in `sealed`, until it is wiped. Ids are UUIDv7, so they sort by time of creation.
"""

mail_attempts = Table(
    "mail_attempts",
    metadata,
    *history_columns("delivery_id", code="smtp_code"),
)
"""The outcome of each attempt. `finished_at` is NULL for one whose worker was lost."""
