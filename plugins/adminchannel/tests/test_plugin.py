"""The plugin in its kernel."""

from galaxy_adminchannel.plugin import AdminChannelPlugin
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.testing import FakeOutbox
from galaxy_devkit.testing import Boot
from galaxy_devkit.testing.kernel import offering


async def test_boots_alone(boot: Boot) -> None:
    """It starts with only what it requires, and is ready."""
    fakes = offering("fakes", {OUTBOX: FakeOutbox()})
    async with boot(AdminChannelPlugin, fakes) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
