"""The plugin in its kernel."""

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.testing import FakeAccounts, FakeOutbox
from galaxy_devkit.testing import Boot
from galaxy_devkit.testing.kernel import offering
from galaxy_notification.plugin import NotificationPlugin


async def test_boots_alone(boot: Boot) -> None:
    """It starts with only fakes of what it requires, is ready, and has its kinds' mails registered."""
    outbox = FakeOutbox()
    fakes = offering("fakes", {ACCOUNTS: FakeAccounts(), OUTBOX: outbox})
    async with boot(NotificationPlugin, fakes) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
    assert set(outbox.kinds) == {
        "runtime.container_start_failed",
        "runtime.image_pull_failed",
        "runtime.start_config_invalid",
    }
