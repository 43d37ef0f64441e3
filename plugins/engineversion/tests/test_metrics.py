"""The plugin's metrics."""

from typing import Any

from galaxy_devkit.testing import Measured


async def test_checks_are_counted_by_outcome(world: Any, drivers: Any) -> None:
    """A check that ended counts once."""
    measured = Measured(world.booted)
    made = await world.add(image="/nowhere/engine")
    status, _ = await world.ask("POST", f"/api/v1/admin/engine-versions/{made['id']}/check")
    assert status == 202
    await world.checked(made["id"])
    await world.until(lambda: measured.values("engineversion.checks") == {("failed",): 1})
