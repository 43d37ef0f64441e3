"""The plugin's tables. No column holds an address."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Table, Text, Uuid, func

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

user_country_counters = Table(
    "user_country_counters",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("country", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
    CheckConstraint("requests > 0", name="requests"),
)
"""How often each account was seen from each country; `ZZ` where it is unknown."""

geo_forgotten_accounts = Table(
    "geo_forgotten_accounts",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("forgotten_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Deleted accounts: a replica that still has counts of one in memory must not write rows for it again.

Kept permanently, as the `accounts` row is: a disconnected replica may hold its counts for any time.
"""
