"""Records of games, operations, positions, reports and orders."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "runtime_0001"
down_revision = None
branch_labels = ("runtime",)


def upgrade() -> None:
    op.create_table(
        "runtime_installation",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("time_zones", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("one", name="runtime_installation_one_check"),
        sa.PrimaryKeyConstraint("one", name="runtime_installation_pkey"),
    )
    op.create_table(
        "runtime_operation_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("input", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("step", sa.Text(), server_default="recorded", nullable=False),
        sa.Column("taken_up", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("log_tail", sa.Text(), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('succeeded', 'failed', 'rolled_back', 'superseded')",
            name="runtime_operation_log_outcome_check",
        ),
        sa.CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="runtime_operation_log_finished_check"),
        sa.PrimaryKeyConstraint("id", name="runtime_operation_log_pkey"),
    )
    op.create_index(
        "runtime_operation_log_due_idx",
        "runtime_operation_log",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "runtime_operation_log_game_id_started_at_idx", "runtime_operation_log", ["game_id", "started_at"], unique=False
    )
    op.create_index(
        "runtime_operation_log_open_idx",
        "runtime_operation_log",
        ["game_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "runtime_orders",
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("seat", sa.SmallInteger(), nullable=False),
        sa.Column("orders", sa.LargeBinary(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("used_digest", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("game_id", "epoch", "turn", "seat", name="runtime_orders_pkey"),
    )
    op.create_table(
        "runtime_records",
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("engine_version_id", sa.Uuid(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("seats", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("wanted", sa.Text(), server_default="up", nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("generation_issued", sa.Integer(), server_default="1", nullable=False),
        sa.Column("status", sa.Text(), server_default="none", nullable=False),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("failure_detail", sa.Text(), nullable=True),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("healthy_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unhealthy_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("engine_lease", sa.Integer(), server_default="0", nullable=False),
        sa.Column("engine_lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("schedule", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("anchor", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_when_final", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("policy", sa.Text(), server_default="fixed", nullable=False),
        sa.Column(
            "policy_options", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("playing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("ended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("next_turn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remind_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remaining", sa.Interval(), nullable=True),
        sa.Column("skip_next", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("trigger", sa.Text(), server_default="scheduled", nullable=False),
        sa.Column("final_seat", sa.SmallInteger(), nullable=True),
        sa.Column("turn", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("awaiting", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("orders_closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("order_lease", sa.Integer(), server_default="0", nullable=False),
        sa.Column("order_lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("turn_lease", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turn_claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("turn_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turn_failure", sa.Text(), nullable=True),
        sa.Column("postponed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('none', 'pulling', 'starting', 'healthy', 'unhealthy', 'crashed', 'failed')",
            name="runtime_records_status_check",
        ),
        sa.CheckConstraint("wanted IN ('up', 'idle', 'down')", name="runtime_records_wanted_check"),
        sa.CheckConstraint("NOT playing OR next_turn_at IS NOT NULL", name="runtime_records_playing_check"),
        sa.CheckConstraint("generation <= generation_issued", name="runtime_records_generation_check"),
        sa.PrimaryKeyConstraint("game_id", name="runtime_records_pkey"),
    )
    op.create_index(
        "runtime_records_due_idx",
        "runtime_records",
        ["next_turn_at"],
        unique=False,
        postgresql_where=sa.text("playing"),
    )
    op.create_index(
        "runtime_records_remind_idx",
        "runtime_records",
        ["remind_at"],
        unique=False,
        postgresql_where=sa.text("playing AND remind_at IS NOT NULL"),
    )
    op.create_index(
        "runtime_records_used_idx",
        "runtime_records",
        ["used_at"],
        unique=False,
        postgresql_where=sa.text("wanted = 'up'"),
    )
    op.create_index(
        "runtime_records_waiting_idx",
        "runtime_records",
        ["not_before"],
        unique=False,
        postgresql_where=sa.text("wanted = 'up' AND status <> 'healthy'"),
    )
    op.create_table(
        "runtime_reports",
        sa.Column("turn_id", sa.Uuid(), nullable=False),
        sa.Column("seat", sa.SmallInteger(), nullable=False),
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("turn_id", "seat", name="runtime_reports_pkey"),
    )
    op.create_index(
        "runtime_reports_game_id_seat_turn_idx", "runtime_reports", ["game_id", "seat", "turn"], unique=False
    )
    op.create_table(
        "runtime_turns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.Column("state_digest", sa.LargeBinary(), nullable=False),
        sa.Column("public_report", sa.LargeBinary(), nullable=True),
        sa.Column("awaiting", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("eliminated", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("absent", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("vacant", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("missed_ticks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_digest", sa.LargeBinary(), nullable=True),
        sa.Column("engine_version_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("trigger IN ('start', 'scheduled', 'forced', 'final')", name="runtime_turns_trigger_check"),
        sa.PrimaryKeyConstraint("id", name="runtime_turns_pkey"),
    )
    op.create_index(
        "runtime_turns_position_idx",
        "runtime_turns",
        ["game_id", "turn"],
        unique=True,
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
