"""The plugin as a whole."""

from galaxy_devkit.testing import Boot
from galaxy_engineversion.plugin import EngineVersionPlugin


async def test_boots_alone(boot: Boot) -> None:
    """The plugin boots with nothing but the kernel and is ready."""
    async with boot(EngineVersionPlugin) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
