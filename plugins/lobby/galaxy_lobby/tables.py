"""The plugin's tables. No foreign keys to other plugins' tables."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

games = Table(
    "games",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid),
    Column("name", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("engine_version_id", Uuid, nullable=False),
    Column("min_players", SmallInteger, nullable=False),
    Column("max_players", SmallInteger, nullable=False),
    Column("enrolled", SmallInteger, nullable=False, server_default="0"),
    Column("options", JSONB, nullable=False),
    Column("schedule", JSONB, nullable=False),
    Column("run_when_final", Boolean, nullable=False),
    Column("policy", Text, nullable=False),
    Column("policy_options", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="draft"),
    Column("pause_reason", Text),
    Column("failure", Text),
    Column("turn", Integer),
    Column("next_turn_at", DateTime(timezone=True)),
    Column("phase", Text),
    Column("awaiting", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    Column("idle_turns", Integer, nullable=False, server_default="0"),
    Column("result", JSONB),
    Column("client_key", Text),
    Column("client_digest", LargeBinary),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("state_changed_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("request_id", Text, nullable=False),
    CheckConstraint("0 <= enrolled AND enrolled <= max_players", name="enrolled"),
    CheckConstraint("1 <= min_players AND min_players <= max_players", name="players"),
    CheckConstraint("visibility IN ('public', 'private')", name="visibility"),
    CheckConstraint(
        "state IN ('draft', 'enrolling', 'ready', 'starting', 'running', 'paused', 'finished', 'cancelled',"
        " 'start_failed')",
        name="state",
    ),
    CheckConstraint("(state = 'paused') = (pause_reason IS NOT NULL)", name="paused"),
    CheckConstraint("pause_reason IN ('owner', 'operator', 'engine_failed', 'abandoned')", name="pause_reason"),
    CheckConstraint("(state = 'ready') <= (enrolled = max_players)", name="ready"),
    Index(
        "games_open_idx",
        "state_changed_at",
        "id",
        postgresql_where=text("visibility = 'public' AND state = 'enrolling'"),
    ),
    Index(None, "owner_id", "created_at"),
    Index(None, "engine_version_id"),
    Index(
        "games_client_key_idx",
        "owner_id",
        "client_key",
        unique=True,
        postgresql_where=text("client_key IS NOT NULL"),
    ),
)
"""One row a game, kept for ever. `owner_id` is NULL where the owner's account was deleted and nobody took over.

`client_key` is the `Idempotency-Key` under which it was created, `client_digest` the SHA-256 of what was sent with it.
"""

memberships = Table(
    "memberships",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("game_id", Uuid, nullable=False),
    Column("account_id", Uuid),
    Column("seat", SmallInteger),
    Column("state", Text, nullable=False, server_default="enrolled"),
    Column("name", Text, nullable=False),
    Column("machine", Boolean, nullable=False, server_default=text("false")),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("missed", Integer, nullable=False, server_default="0"),
    Column("missed_in_row", Integer, nullable=False, server_default="0"),
    Column("seen_turn", Integer, nullable=False, server_default="-1"),
    Column("replaced_by", Uuid),
    Column("request_id", Text, nullable=False),
    CheckConstraint(
        "state IN ('enrolled', 'playing', 'eliminated', 'resigned', 'removed', 'replaced', 'finished')", name="state"
    ),
    CheckConstraint("(state IN ('enrolled', 'playing', 'eliminated')) = (ended_at IS NULL)", name="ended"),
    CheckConstraint("NOT machine OR account_id IS NULL", name="machine"),
    Index(
        "memberships_player_idx",
        "game_id",
        "account_id",
        unique=True,
        postgresql_where=text("state IN ('enrolled', 'playing', 'eliminated') AND account_id IS NOT NULL"),
    ),
    Index(
        "memberships_seat_idx",
        "game_id",
        "seat",
        unique=True,
        postgresql_where=text("state IN ('playing', 'eliminated')"),
    ),
    Index(None, "account_id", "state"),
    Index(None, "game_id"),
)
"""One row a part in a game. It ends and is never rewritten: whoever follows on a seat has a row of their own.

`account_id` is NULL for machines, and once the account is deleted. `name` is what the engine was told at the start.
"""

invitations = Table(
    "invitations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("game_id", Uuid, nullable=False),
    Column("inviter_id", Uuid, nullable=False),
    Column("account_id", Uuid),
    Column("email_key", LargeBinary),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("answered_at", DateTime(timezone=True)),
    Column("request_id", Text, nullable=False),
    CheckConstraint("state IN ('pending', 'accepted', 'declined', 'withdrawn', 'expired')", name="state"),
    CheckConstraint("account_id IS NOT NULL OR email_key IS NOT NULL", name="invited"),
    Index(
        "invitations_account_idx",
        "game_id",
        "account_id",
        unique=True,
        postgresql_where=text("state = 'pending' AND account_id IS NOT NULL"),
    ),
    Index(
        "invitations_email_idx",
        "game_id",
        "email_key",
        unique=True,
        postgresql_where=text("state = 'pending' AND account_id IS NULL"),
    ),
    Index(None, "account_id", "state"),
    Index(None, "email_key", "state"),
    Index(None, "inviter_id", "created_at"),
    Index("invitations_expiry_idx", "expires_at", postgresql_where=text("state = 'pending'")),
)
"""One row an invitation. `email_key` is a keyed hash of the folded address, which stands in the mail alone.

It holds both where both were given, and agreed.
"""
