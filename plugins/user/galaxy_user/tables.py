"""The plugin's table."""

from sqlalchemy import CheckConstraint, Column, DateTime, Table, Text, UniqueConstraint, Uuid

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("email_folded", Text),
    Column("display_name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("declared_country", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("blocked_at", DateTime(timezone=True)),
    Column("blocked_reason", Text),
    Column("deleted_at", DateTime(timezone=True)),
    UniqueConstraint("email_folded"),
    CheckConstraint("(email IS NULL) = (deleted_at IS NOT NULL)", name="email"),
    CheckConstraint("(email IS NULL) = (email_folded IS NULL)", name="email_folded"),
)
"""One row for each account, permanently: a deleted one keeps its id and nothing personal.

`email` is where mail goes, as typed; `email_folded` identifies the account (`galaxy_contracts.formats`).
"""
