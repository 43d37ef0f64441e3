"""The plugin in its kernel."""

from galaxy_devkit.testing import Boot
from galaxy_push.plugin import PushPlugin


async def test_boots_alone(boot: Boot) -> None:
    """It starts with only what it requires, and is ready."""
    async with boot(PushPlugin) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
