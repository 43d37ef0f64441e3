"""Versions of engines."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "engineversion_0001"
down_revision = None
branch_labels = ("engineversion",)
depends_on = None

SEMVER = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-((0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$"
)


def upgrade() -> None:
    op.create_table(
        "engine_versions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("engine", sa.Text, nullable=False, server_default=sa.text("'default'")),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("major", sa.Integer, nullable=False),
        sa.Column("minor", sa.Integer, nullable=False),
        sa.Column("patch", sa.Integer, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'active'")),
        sa.Column("describe", JSONB),
        sa.Column("checked_at", sa.DateTime(timezone=True)),
        sa.Column("check_result", JSONB),
        sa.Column("notes", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("check_requested_at", sa.DateTime(timezone=True)),
        sa.Column("check_request_id", sa.Text),
        sa.Column("check_lease", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("check_until", sa.DateTime(timezone=True)),
        sa.Column("check_tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.UniqueConstraint("engine", "version", name="engine_versions_engine_version_key"),
        sa.CheckConstraint("engine ~ '^[a-z0-9][a-z0-9._-]{0,63}$'", name=op.f("engine_versions_engine_check")),
        sa.CheckConstraint(f"version ~ '{SEMVER}'", name=op.f("engine_versions_version_check")),
        sa.CheckConstraint("state IN ('active', 'deprecated', 'retired')", name=op.f("engine_versions_state_check")),
        sa.CheckConstraint(
            "(check_requested_at IS NULL) = (check_request_id IS NULL)",
            name=op.f("engine_versions_check_request_id_check"),
        ),
    )
    op.create_index(
        "engine_versions_check_requested_at_idx",
        "engine_versions",
        ["check_requested_at"],
        postgresql_where=sa.text("check_requested_at IS NOT NULL"),
    )
