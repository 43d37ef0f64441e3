"""The plugin as a whole."""

from typing import Any


async def test_boots_alone(world: Any) -> None:
    """The plugin boots with nothing but the kernel and is ready."""
    async with world.booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
