"""The plugin's tables."""

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, Index, Integer, LargeBinary, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

admin_accounts = Table(
    "admin_accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False),
    Column("username_folded", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("must_rotate", Boolean, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("locked_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("password_changed_at", DateTime(timezone=True)),
    Column("disabled_at", DateTime(timezone=True)),
)

admin_audit_log = Table(
    "admin_audit_log",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("admin_id", Uuid),
    Column("username", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", JSONB, nullable=False),
    Column("outcome", Text, nullable=False, server_default=text("'unknown'")),
    Column("status", Integer),
    Column("request_id", Text, nullable=False),
    Column("fold_key", Text),
    CheckConstraint("outcome IN ('unknown', 'done', 'refused', 'failed')", name="outcome"),
    Index(None, "at"),
    Index(None, "username", "at"),
    Index("admin_audit_log_fold_key", "fold_key", unique=True, postgresql_where=text("fold_key IS NOT NULL")),
)
"""One row for each action. `fold_key`: what is the same for entries that are counted in one row."""

admin_sign_in_attempts = Table(
    "admin_sign_in_attempts",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Index(None, "last_at"),
)
"""Attempts in a row that did not succeed, by a keyed hash of user name and client network."""

admin_known_networks = Table(
    "admin_known_networks",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Index(None, "seen_at"),
)
"""Networks that signed in, by a keyed hash of user name and network."""
