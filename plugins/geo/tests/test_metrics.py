"""The plugin's metrics."""

from typing import Any
from uuid import UUID

from galaxy_devkit.testing import Measured
from galaxy_geo.counting import Notes


async def test_requests_are_counted_by_outcome(world: Any, account: UUID) -> None:
    """What was written to the table, and what found no room in memory."""
    measured = Measured(world.booted)
    for _ in range(3):
        world.countries.count(account, "192.0.2.1")
    await world.countries.flush()
    world.countries._notes = Notes(most=1)
    for number in range(3):
        world.countries.count(UUID(int=number), "192.0.2.1")
    await world.countries.flush()
    counted = measured.values("geo.requests")
    assert (counted["counted",], counted["dropped",]) == (4, 2)
