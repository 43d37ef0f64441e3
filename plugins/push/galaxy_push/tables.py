"""The plugin's tables."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

push_events = Table(
    "push_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("seq", BigInteger),
    Column("key", Uuid),
    Column("account_id", Uuid),
    Column("session_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("numbered_at", DateTime(timezone=True)),
    UniqueConstraint("seq"),
    CheckConstraint("num_nonnulls(account_id, session_id) = 1", name="target"),
    CheckConstraint("(seq IS NULL) = (numbered_at IS NULL)", name="numbered"),
    Index(None, "id", postgresql_where=text("seq IS NULL")),
    Index(None, "key", unique=True, postgresql_where=text("key IS NOT NULL")),
    Index(None, "account_id", postgresql_where=text("account_id IS NOT NULL")),
    Index(None, "session_id", postgresql_where=text("session_id IS NOT NULL")),
    Index(None, "account_id", "seq", postgresql_where=text("account_id IS NOT NULL AND seq IS NOT NULL")),
    Index(None, "session_id", "seq", postgresql_where=text("session_id IS NOT NULL AND seq IS NOT NULL")),
)
"""Events, in the order of `seq`, their number in the stream: assigned after their commit, by `queries.number`.

`id` is the order in which they were written, and that of their numbers where they are numbered together. `payload` is a
JSON object as text, never parsed here.
"""

push_state = Table(
    "push_state",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("last_seq", BigInteger, nullable=False),
    Column("trimmed_seq", BigInteger, nullable=False),
    Column(
        "generation",
        Text,
        nullable=False,
        server_default=text("substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 1, 12)"),
    ),
    Column("origin", Text),
    CheckConstraint("single", name="single"),
    CheckConstraint("trimmed_seq <= last_seq", name="order"),
)
"""One row, whose lock serialises numbering.

`last_seq`: the highest number assigned. `trimmed_seq`: events up to this number may have been removed by age; every
later one is present, except those without a recipient. Both begin, at the baseline, with the time in microseconds.

`generation`: a random value, part of every cursor. It is replaced when the numbers may have been set back, so that no
cursor has two meanings; see `queries.follow`. `origin`: the server, its timeline, the database and the table in which
the present generation began; null until a backend has first looked.
"""
