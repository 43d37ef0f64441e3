"""Players are notified of sign-ins to an existing account."""

from datetime import UTC
from typing import Any

from galaxy_auth.plugin import AuthPlugin
from galaxy_chassis.clock import ManualClock
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.testing import FakeAccounts, FakeNotifications, FakeOutbox
from galaxy_devkit.testing.kernel import Boot, offering


async def test_a_second_device_is_told_of(boot: Boot, clock: ManualClock, world_of: Any) -> None:
    """The first sign-in creates the account without a notification; the second notifies once, with device and time."""
    accounts, outbox, notifications = FakeAccounts(), FakeOutbox(), FakeNotifications()
    fakes = offering("fakes", {ACCOUNTS: accounts, OUTBOX: outbox, NOTIFICATIONS: notifications})
    async with boot(AuthPlugin, fakes, clock=clock) as booted:
        world = world_of(booted, clock, accounts, outbox)
        first = await world.sign_in(device_name="Desk")
        assert notifications.intents == []
        second = await world.sign_in(device_name="Phone")
    [intent] = notifications.intents
    assert (intent.kind, intent.idempotency_key) == ("auth.new_device", second["session_id"])
    assert [str(each) for each in intent.recipients] == [first["account"]["id"]]
    assert intent.payload.device_name == "Phone"
    assert intent.payload.signed_in_at == clock.now().astimezone(UTC)


async def test_without_notifications_sign_in_works(world: Any) -> None:
    """A deployment without notifications signs in as usual."""
    await world.sign_in()
    assert (await world.sign_in())["session_token"]
