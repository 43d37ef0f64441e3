"""The plugin's table."""

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, Table, text

from galaxy_kernel.api import plugin_metadata

metadata = plugin_metadata()

admin_channel = Table(
    "admin_channel",
    metadata,
    Column("sole", Boolean, primary_key=True, server_default=text("true")),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("changed_at", DateTime(timezone=True)),
    CheckConstraint("sole", name="sole"),
)
"""One row, made with the table. `changed_at` is NULL as long as nobody has switched it."""
