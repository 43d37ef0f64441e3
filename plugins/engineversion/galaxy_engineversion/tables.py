"""The plugin's table."""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Integer, Table, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_engineversion.domain import ENGINE, SEMVER
from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

engine_versions = Table(
    "engine_versions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("engine", Text, nullable=False, server_default=text("'default'")),
    Column("version", Text, nullable=False),
    Column("major", Integer, nullable=False),
    Column("minor", Integer, nullable=False),
    Column("patch", Integer, nullable=False),
    Column("image", Text, nullable=False),
    Column("digest", Text),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("describe", JSONB(none_as_null=True)),
    Column("checked_at", DateTime(timezone=True)),
    Column("check_result", JSONB(none_as_null=True)),
    Column("notes", Text, nullable=False, server_default=text("''")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("check_requested_at", DateTime(timezone=True)),
    Column("check_request_id", Text),
    Column("check_lease", Integer, nullable=False, server_default=text("0")),
    Column("check_until", DateTime(timezone=True)),
    Column("check_tries", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("engine", "version"),
    CheckConstraint(f"engine ~ '{ENGINE}'", name="engine"),
    CheckConstraint(f"version ~ '{SEMVER}'", name="version"),
    CheckConstraint("state IN ('active', 'deprecated', 'retired')", name="state"),
    CheckConstraint("(check_requested_at IS NULL) = (check_request_id IS NULL)", name="check_request_id"),
    Index(None, "check_requested_at", postgresql_where=text("check_requested_at IS NOT NULL")),
)
"""One row a version.

A check is wanted, or under way, while `check_requested_at` is set; it is under way while `check_until`, the end of its
lease by the database's clock, lies ahead. `check_lease` grows with each process that takes it up, and with each change
of the image: a result of an older lease is void.
"""
