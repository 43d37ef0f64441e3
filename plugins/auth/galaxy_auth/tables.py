"""The plugin's tables."""

from sqlalchemy import (
    Boolean,
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
    Column("mailbox_key", LargeBinary),
    Column("client_key", LargeBinary, nullable=False),
    Column("site_key", LargeBinary),
    Column("network_key", LargeBinary),
    Column("known", Boolean, nullable=False, server_default=text("false")),
    Column("code_hash", LargeBinary, nullable=False),
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),
    Column("tries_allowed", SmallInteger, nullable=False, server_default=text("5")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("redeemed_at", DateTime(timezone=True)),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
    Index(None, "address_key", "created_at"),
    Index(None, "client_key", "created_at"),
    Index(None, "mailbox_key", "network_key", "created_at"),
    Index(None, "mailbox_key", "site_key", "created_at"),
    Index(None, "site_key", "created_at"),
    Index(None, "network_key", "created_at"),
    Index("auth_challenges_mailbox_strangers_idx", "mailbox_key", "created_at", postgresql_where=text("NOT known")),
    Index("auth_challenges_strangers_idx", "created_at", postgresql_where=text("NOT known")),
    Index("auth_challenges_open_idx", "expires_at", postgresql_where=text("email IS NOT NULL")),
    Index(None, "created_at"),
)
"""One row for each requested code, kept for a day, since the throttles count them.

`email` is as typed, and removed once the challenge is redeemed or has expired, or when the account of the address is
deleted. The keys are keyed hashes: of the folded address, of its mailbox (the address without a tag), and of the
client's networks, from the narrowest to the widest. `known`: an account of the mailbox had signed in from this site.
`written_at` is when the row was inserted, by the database's clock.
"""

auth_known_networks = Table(
    "auth_known_networks",
    metadata,
    Column("mailbox_key", LargeBinary, primary_key=True),
    Column("site_key", LargeBinary, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Index(None, "account_id"),
    Index(None, "seen_at"),
)
"""One row for each site from which an account signed in lately: strangers cannot use up its codes."""

auth_wrong_codes = Table(
    "auth_wrong_codes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Index(None, "at"),
)
"""One row for each wrong code of the last hour."""

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
