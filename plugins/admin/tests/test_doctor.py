"""`backend doctor` and the operators."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from galaxy_admin import queries
from galaxy_admin.doctor import judge
from galaxy_admin.domain import AdminAccount
from galaxy_admin.settings import AdminSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = AdminSettings(bootstrap_user="Root", bootstrap_password="the first password")  # type: ignore[arg-type] # pydantic's


def account(name: str = "root", *, must_rotate: bool = False, disabled: bool = False) -> AdminAccount:
    """Make an account."""
    return AdminAccount(uuid4(), name, name, "hash", must_rotate, NOW, disabled_at=NOW if disabled else None)


@pytest.mark.parametrize(
    ("accounts", "settings", "state", "says"),
    [
        ([], AdminSettings(), "failed", "`backend admin create NAME`"),
        ([], FIRST, "ok", "the next start creates Root"),
        ([account(disabled=True)], AdminSettings(), "failed", "backend admin reset-password"),
        ([account(must_rotate=True)], FIRST, "warning", "must change the first password"),
        ([account()], FIRST, "warning", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD opens nothing any more"),
        ([account("ada")], FIRST, "warning", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD opens nothing any more"),
        ([account(), account("ada", must_rotate=True)], AdminSettings(), "ok", "2 can sign in"),
    ],
)
def test_operators(accounts: list[AdminAccount], settings: AdminSettings, state: str, says: str) -> None:
    """Whether one can sign in, and whether the first password is still of use."""
    (found,) = judge(accounts, settings)
    assert found.state == state and says in found.detail


async def test_accounts_are_read_from_the_table(world: Any) -> None:
    """All of them are, as they are."""
    made = [account("ada"), account("bob", disabled=True)]
    async with world.database.transaction() as connection:
        for each in made:
            await queries.insert_account(connection, each)
    async with world.database.reading() as connection:
        found = await queries.all_accounts(connection)
    assert [each for each in sorted(found, key=lambda each: each.username) if each.username != "Root"] == made
