"""The plugin's tables. No foreign keys: a key would lock the game's record for each order and report."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Interval,
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


def _time(name: str) -> "Column[object]":
    return Column(name, DateTime(timezone=True))


def _now(name: str) -> "Column[object]":
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


runtime_records = Table(
    "runtime_records",
    metadata,
    Column("game_id", Uuid, primary_key=True),
    Column("engine_version_id", Uuid, nullable=False),
    Column("image", Text, nullable=False),
    Column("digest", Text),
    Column("seats", JSONB, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("seed", LargeBinary, nullable=False),
    # the engine: `revision` counts every write of this group
    Column("wanted", Text, nullable=False, server_default="up"),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("generation_issued", Integer, nullable=False, server_default="1"),
    Column("status", Text, nullable=False, server_default="none"),
    Column("handle", Text),
    Column("address", Text),
    Column("failure", Text),
    Column("failure_detail", Text),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("oom_generation", Integer),
    _time("not_before"),
    _time("healthy_since"),
    _time("unhealthy_since"),
    _time("used_at"),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("engine_lease", Integer, nullable=False, server_default="0"),
    _time("engine_lease_until"),
    # the clock: from a turn's first claim to its end `due_at` is the deadline, and `next_turn_at` when to look again
    Column("schedule", JSONB, nullable=False),
    _time("anchor"),
    Column("run_when_final", Boolean, nullable=False, server_default=text("false")),
    Column("policy", Text, nullable=False, server_default="fixed"),
    Column("policy_options", JSONB, nullable=False, server_default=text("'{}'")),
    Column("playing", Boolean, nullable=False, server_default=text("false")),
    Column("ended", Boolean, nullable=False, server_default=text("false")),
    _time("next_turn_at"),
    _time("due_at"),
    _time("tick_at"),
    _time("remind_at"),
    Column("remaining", Interval),
    Column("skip_next", Boolean, nullable=False, server_default=text("false")),
    Column("trigger", Text, nullable=False, server_default="scheduled"),
    Column("final_seat", SmallInteger),
    # the turn
    Column("turn", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("awaiting", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    Column("phase", Text),
    Column("sent", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    Column("final", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    Column("absent", ARRAY(SmallInteger)),
    _time("orders_closed_at"),
    Column("order_lease", Integer, nullable=False, server_default="0"),
    _time("order_lease_until"),
    Column("turn_lease", Integer, nullable=False, server_default="0"),
    _time("turn_claimed_at"),
    Column("turn_attempts", Integer, nullable=False, server_default="0"),
    Column("turn_failure", Text),
    Column("postponed", Integer, nullable=False, server_default="0"),
    _time("made_at"),
    _now("created_at"),
    _time("ended_at"),
    Column("request_id", Text, nullable=False),
    CheckConstraint("wanted IN ('up', 'idle', 'down')", name="wanted"),
    CheckConstraint(
        "status IN ('none', 'pulling', 'starting', 'healthy', 'unhealthy', 'crashed', 'failed')",
        name="status",
    ),
    CheckConstraint("generation <= generation_issued", name="generation"),
    CheckConstraint("NOT playing OR next_turn_at IS NOT NULL", name="playing"),
    Index("runtime_records_due_idx", "next_turn_at", postgresql_where=text("playing")),
    Index("runtime_records_remind_idx", "remind_at", postgresql_where=text("playing AND remind_at IS NOT NULL")),
    Index("runtime_records_used_idx", "used_at", postgresql_where=text("wanted = 'up'")),
    Index(
        "runtime_records_places_idx",
        "game_id",
        postgresql_where=text("handle IS NOT NULL OR status IN ('pulling', 'starting')"),
    ),
    Index("runtime_records_waiting_idx", "not_before", postgresql_where=text("wanted = 'up' AND status <> 'healthy'")),
)
"""One row a game, small and hot: its engine, its clock, its turn. What is large lives in `runtime_turns`.

`playing`: its clock runs. `due_at` is set from the first claim of a turn until that turn is committed or given up, and
then orders are closed; `remaining` of 0 meanwhile means that the game is suspended once the turn is done. `tick_at` is
the tick that will run, as people see it: later than `next_turn_at` where that one is skipped. `sent` and `final` are
the seats with orders, and with final ones, for the turn; `absent` is decided at its first claim. `oom_generation` is
the last generation of the engine that was killed since it used too much memory.
"""

runtime_operation_log = Table(
    "runtime_operation_log",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("game_id", Uuid, nullable=False),
    Column("operation", Text, nullable=False),
    Column("generation", Integer),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Uuid),
    Column("input", JSONB, nullable=False, server_default=text("'{}'")),
    Column("step", Text, nullable=False, server_default="recorded"),
    Column("taken_up", Integer, nullable=False, server_default="0"),
    Column("lease", Integer, nullable=False, server_default="0"),
    _time("lease_until"),
    Column("outcome", Text),
    Column("error_code", Text),
    Column("error", Text),
    Column("log_tail", Text),
    Column("result", JSONB),
    _now("started_at"),
    _time("finished_at"),
    Column("request_id", Text, nullable=False),
    CheckConstraint("outcome IN ('succeeded', 'failed', 'rolled_back', 'superseded')", name="outcome"),
    CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="finished"),
    Index("runtime_operation_log_open_idx", "game_id", unique=True, postgresql_where=text("finished_at IS NULL")),
    Index("runtime_operation_log_due_idx", "lease_until", postgresql_where=text("finished_at IS NULL")),
    Index(None, "game_id", "started_at"),
)
"""One row an operation, written before anything is done; one open operation a game."""

runtime_turns = Table(
    "runtime_turns",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("game_id", Uuid, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("state", LargeBinary),
    Column("state_digest", LargeBinary, nullable=False),
    Column("public_report", LargeBinary),
    Column("awaiting", ARRAY(SmallInteger), nullable=False),
    Column("phase", Text),
    Column("eliminated", ARRAY(SmallInteger), nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("result", JSONB),
    # of the run that made it
    Column("trigger", Text, nullable=False),
    _time("due_at"),
    _time("claimed_at"),
    _now("made_at"),
    Column("duration_ms", Integer),
    Column("seed", Text, nullable=False),
    Column("absent", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    Column("vacant", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    Column("missed_ticks", Integer, nullable=False, server_default="0"),
    Column("orders_digest", LargeBinary),
    Column("engine_version_id", Uuid, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("request_id", Text, nullable=False),
    _time("superseded_at"),
    CheckConstraint("trigger IN ('start', 'scheduled', 'forced', 'final')", name="trigger"),
    Index(
        "runtime_turns_position_idx",
        "game_id",
        "turn",
        unique=True,
        postgresql_where=text("superseded_at IS NULL"),
    ),
)
"""One row a position. The unique index is "no turn twice". `state` is emptied when a snapshot is thinned."""

runtime_reports = Table(
    "runtime_reports",
    metadata,
    Column("turn_id", Uuid, primary_key=True),
    Column("seat", SmallInteger, primary_key=True),
    Column("game_id", Uuid, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("report", LargeBinary, nullable=False),
    Index(None, "game_id", "seat", "turn"),
)
"""What each seat may know of a position, as the engine made it."""

runtime_orders = Table(
    "runtime_orders",
    metadata,
    Column("game_id", Uuid, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("turn", Integer, primary_key=True),
    Column("seat", SmallInteger, primary_key=True),
    Column("orders", LargeBinary, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("account_id", Uuid),
    _now("submitted_at"),
    Column("request_id", Text, nullable=False),
    Column("used_digest", LargeBinary),
)
"""The set of a seat for a turn. `account_id` is NULL for a machine; `used_digest` is set by the commit that used it."""

runtime_installation = Table(
    "runtime_installation",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("owner", Uuid, nullable=False),
    _now("beat_at"),
    Column("time_zones", Text, nullable=False, server_default=""),
    CheckConstraint("one", name="one"),
)
"""One row: the id by which engines are ours, when a backend last looked for due turns, and the zone database seen."""
