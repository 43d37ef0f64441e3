"""The plugin's tables."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

auth_challenges = Table(
    "auth_challenges",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("locale", Text),
    Column("address_key", LargeBinary, nullable=False),
    Column("client_key", LargeBinary, nullable=False),
    Column("code_hash", LargeBinary, nullable=False),
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("redeemed_at", DateTime(timezone=True)),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
    Index(None, "address_key", "created_at"),
    Index(None, "client_key", "created_at"),
    Index(None, "created_at"),
)
"""One row for each requested code, kept for a day, since the throttles count them.

`email` is as typed, and removed when the account of the address is deleted. `address_key` and `client_key` are keyed
hashes of the folded address and of the client's network.
"""

device_sessions = Table(
    "device_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    Column("device_name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("token_hash"),
    Index(None, "account_id"),
)
"""One row for each session that has not ended: a revoked one is deleted, an expired one is pruned."""
