"""The schema of all plugins together (SPEC K-3)."""

import pytest
from sqlalchemy import text

from galaxy_devkit.testing import Booted
from galaxy_kernel.core import schema
from galaxy_migrations.comparison import drift

TABLES = {
    *("feed_changes", "facts", "singleton_terms"),
    *("accounts", "auth_challenges", "auth_known_networks", "auth_wrong_codes", "device_sessions"),
    *("admin_accounts", "admin_audit_log", "admin_known_networks", "admin_sign_in_attempts"),
    *("mail_deliveries", "mail_attempts"),
    *("user_country_counters", "geo_forgotten_accounts"),
    *("notifications", "notification_routes", "notification_mutes", "admin_channel"),
    *("push_events", "push_state"),
    "engine_versions",
    *("games", "memberships", "invitations"),
    *("runtime_installation", "runtime_operation_log", "runtime_orders", "runtime_records", "runtime_reports"),
    "runtime_turns",
}
BRANCHES = {
    *("kernel", "user", "auth", "admin", "mail", "notification", "adminchannel", "push", "geo", "engineversion"),
    *("lobby", "runtime"),
}


async def test_expected_tables(full_backend: Booted) -> None:
    """The schema has exactly these tables, including a version table for each branch."""
    query = text("SELECT tablename FROM pg_tables WHERE schemaname = 'backend'")
    async with full_backend.database.reading() as connection:
        found = set((await connection.execute(query)).scalars())
    assert found == TABLES | {f"alembic_version_{branch}" for branch in BRANCHES}


@pytest.mark.parametrize("branch", sorted(BRANCHES))
async def test_revisions_make_what_the_code_expects(full_backend: Booted, branch: str) -> None:
    """A plugin's revisions create its tables as described, constraints and indexes included."""
    found = {each.plugin: each for each in schema.branches(full_backend.kernel.assembly.plugins)}
    assert await drift(full_backend.database.engine, full_backend.database.schema, found[branch]) == []
