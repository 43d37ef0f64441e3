"""The plugin's tables."""

from sqlalchemy import Column, DateTime, Index, Table, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import QueueStates, plugin_metadata, queue_columns, queue_indexes

metadata = plugin_metadata()

STATES = QueueStates(done="sent", skipped="skipped")
"""What becomes of a route."""

notifications = Table(
    "notifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    UniqueConstraint("kind", "idempotency_key"),
    Index(None, "created_at"),
)
"""One row for each intent. `payload` is emptied once the only account that it went to is deleted. Ids are UUIDv7."""

notification_routes = Table(
    "notification_routes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("notification_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account_id", Uuid),
    Column("channel", Text, nullable=False),
    Column("read_at", DateTime(timezone=True)),
    *queue_columns(STATES),
    Index(None, "notification_id"),
    Index(None, "account_id", "notification_id"),
    Index("notification_routes_dead_idx", "notification_id", postgresql_where=text("state = 'dead_lettered'")),
    *queue_indexes("notification_routes", STATES),
)
"""One row for each recipient and channel; `account_id` is NULL for operators.

`last_error` is what the API calls `reason`.

There is no foreign key: intent and routes are written with one statement, deleted with one, and a key would look the
intent up and lock it for each route.
"""

notification_mutes = Table(
    "notification_mutes",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
)
"""Kinds and channels that players have switched off; everything else is on."""
