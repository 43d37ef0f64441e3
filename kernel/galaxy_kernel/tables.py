"""The kernel's own tables: the change feed, the outbox of facts, and the terms of singletons."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

from galaxy_migrations.conventions import plugin_metadata

metadata = plugin_metadata()


class Xid8(UserDefinedType[str]):
    """A 64-bit transaction id, which never wraps around (PostgreSQL 13 and later)."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


ischema_names.setdefault("xid8", Xid8)  # reflection, and so the check of the schema, would warn of an unknown type

feed_changes = Table(
    "feed_changes",
    metadata,
    # the default CACHE 1 matters: with a larger one, ids of two sessions would not grow in the order of their calls
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("horizon", Xid8, nullable=False, server_default=text("pg_snapshot_xmin(pg_current_snapshot())")),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", Text),
    Column("request_id", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Index(None, "xid"),
    Index(None, "topic", "key"),
)
"""The change feed, for caches; see `galaxy_kernel.caches.feed`.

`horizon`: every transaction before it had ended at `at`. `payload` is JSON, and NULL for a deleted row.
"""

facts = Table(
    "facts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("fact", Text, nullable=False),
    Column("listener", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("last_error", Text),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index(None, "listener", "next_attempt_at"),
)
"""Facts still to be delivered: one row for each listener, deleted once it has handled the fact."""

singleton_terms = Table(
    "singleton_terms",
    metadata,
    Column("name", Text, primary_key=True),
    Column("term", BigInteger, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
"""The newest term of each singleton worker whose `run` takes one: see `database.locks`."""
