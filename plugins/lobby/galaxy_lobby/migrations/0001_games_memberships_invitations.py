"""Games, memberships and invitations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "lobby_0001"
down_revision = None
branch_labels = ("lobby",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "games",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("engine_version_id", sa.Uuid(), nullable=False),
        sa.Column("min_players", sa.SmallInteger(), nullable=False),
        sa.Column("max_players", sa.SmallInteger(), nullable=False),
        sa.Column("enrolled", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("schedule", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("run_when_final", sa.Boolean(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("policy_options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column("pause_reason", sa.Text()),
        sa.Column("failure", sa.Text()),
        sa.Column("turn", sa.Integer()),
        sa.Column("next_turn_at", sa.DateTime(timezone=True)),
        sa.Column("phase", sa.Text()),
        sa.Column("awaiting", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("idle_turns", sa.Integer(), server_default="0", nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text())),
        sa.Column("client_key", sa.Text()),
        sa.Column("client_digest", sa.LargeBinary()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.CheckConstraint("(state = 'paused') = (pause_reason IS NOT NULL)", name=op.f("games_paused_check")),
        sa.CheckConstraint("(state = 'ready') <= (enrolled = max_players)", name=op.f("games_ready_check")),
        sa.CheckConstraint(
            "pause_reason IN ('owner', 'operator', 'engine_failed', 'abandoned')", name=op.f("games_pause_reason_check")
        ),
        sa.CheckConstraint(
            "state IN ('draft', 'enrolling', 'ready', 'starting', 'running', 'paused', 'finished', 'cancelled',"
            " 'start_failed')",
            name=op.f("games_state_check"),
        ),
        sa.CheckConstraint("visibility IN ('public', 'private')", name=op.f("games_visibility_check")),
        sa.CheckConstraint("0 <= enrolled AND enrolled <= max_players", name=op.f("games_enrolled_check")),
        sa.CheckConstraint("1 <= min_players AND min_players <= max_players", name=op.f("games_players_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("games_pkey")),
    )
    op.create_index(
        "games_client_key_idx",
        "games",
        ["owner_id", "client_key"],
        unique=True,
        postgresql_where=sa.text("client_key IS NOT NULL"),
    )
    op.create_index(op.f("games_engine_version_id_idx"), "games", ["engine_version_id"], unique=False)
    op.create_index(
        "games_open_idx",
        "games",
        ["state_changed_at", "id"],
        unique=False,
        postgresql_where=sa.text("visibility = 'public' AND state = 'enrolling'"),
    )
    op.create_index(op.f("games_owner_id_created_at_idx"), "games", ["owner_id", "created_at"], unique=False)
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("inviter_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid()),
        sa.Column("email_key", sa.LargeBinary()),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'accepted', 'declined', 'withdrawn', 'expired')", name=op.f("invitations_state_check")
        ),
        sa.CheckConstraint("account_id IS NOT NULL OR email_key IS NOT NULL", name=op.f("invitations_invited_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("invitations_pkey")),
    )
    op.create_index(op.f("invitations_account_id_state_idx"), "invitations", ["account_id", "state"], unique=False)
    op.create_index(
        "invitations_account_idx",
        "invitations",
        ["game_id", "account_id"],
        unique=True,
        postgresql_where=sa.text("state = 'pending' AND account_id IS NOT NULL"),
    )
    op.create_index(
        "invitations_email_idx",
        "invitations",
        ["game_id", "email_key"],
        unique=True,
        postgresql_where=sa.text("state = 'pending' AND account_id IS NULL"),
    )
    op.create_index(op.f("invitations_email_key_state_idx"), "invitations", ["email_key", "state"], unique=False)
    op.create_index(
        "invitations_expiry_idx",
        "invitations",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        op.f("invitations_inviter_id_created_at_idx"), "invitations", ["inviter_id", "created_at"], unique=False
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("game_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid()),
        sa.Column("seat", sa.SmallInteger()),
        sa.Column("state", sa.Text(), server_default="enrolled", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("machine", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("missed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("missed_in_row", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seen_turn", sa.Integer(), server_default="-1", nullable=False),
        sa.Column("replaced_by", sa.Uuid()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state IN ('enrolled', 'playing', 'eliminated')) = (ended_at IS NULL)",
            name=op.f("memberships_ended_check"),
        ),
        sa.CheckConstraint(
            "state IN ('enrolled', 'playing', 'eliminated', 'resigned', 'removed', 'replaced', 'finished')",
            name=op.f("memberships_state_check"),
        ),
        sa.CheckConstraint("NOT machine OR account_id IS NULL", name=op.f("memberships_machine_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("memberships_pkey")),
    )
    op.create_index(op.f("memberships_account_id_state_idx"), "memberships", ["account_id", "state"], unique=False)
    op.create_index(op.f("memberships_game_id_idx"), "memberships", ["game_id"], unique=False)
    op.create_index(
        "memberships_player_idx",
        "memberships",
        ["game_id", "account_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('enrolled', 'playing', 'eliminated') AND account_id IS NOT NULL"),
    )
    op.create_index(
        "memberships_seat_idx",
        "memberships",
        ["game_id", "seat"],
        unique=True,
        postgresql_where=sa.text("state IN ('playing', 'eliminated')"),
    )
