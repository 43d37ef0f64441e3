"""`backend doctor` and the addresses that notifications need."""

from types import SimpleNamespace
from typing import Any

import pytest

from galaxy_notification.doctor import checks
from galaxy_notification.settings import NotificationSettings

OPERATORS, PLAYERS = {"admin_email": "ops@example.org"}, {"public_url": "https://play.example.org"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (OPERATORS | PLAYERS, []),
        (PLAYERS, ["BACKEND_NOTIFICATION_ADMIN_EMAIL"]),
        (OPERATORS, ["BACKEND_NOTIFICATION_PUBLIC_URL"]),
        ({}, ["BACKEND_NOTIFICATION_ADMIN_EMAIL", "BACKEND_NOTIFICATION_PUBLIC_URL"]),
    ],
)
async def test_addresses_that_are_missing(settings: dict[str, Any], says: list[str]) -> None:
    """Each is a warning with its variable."""
    (check,) = checks(SimpleNamespace(settings=NotificationSettings(**settings)))  # type: ignore[arg-type]
    found = await check.run()  # type: ignore[call-arg] # it takes no option
    assert [each.detail.rpartition(" ")[2] for each in found if each.state == "warning"] == says
