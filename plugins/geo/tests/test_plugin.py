"""What the plugin is to its kernel."""

from galaxy_geo.plugin import GeoPlugin
from galaxy_kernel.testing import Boot


async def test_boots_alone(boot: Boot) -> None:
    """It starts with nothing but what it requires, and is ready."""
    async with boot(GeoPlugin) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
