"""The hosts that the suite runs on."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hosts import Host, ProcessHost

from galaxy_engine.drivers.driver import EngineDriver


@pytest.fixture(params=["process"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return ProcessHost(tmp_path)


@pytest.fixture
async def driver(host: Host) -> AsyncIterator[EngineDriver]:
    """The driver under test; its owner's engines are removed afterwards."""
    driver = host.driver()
    yield driver
    for engine in await driver.observe():
        await driver.remove(engine.handle, timedelta(0))
    assert await driver.observe() == []
    await driver.close()
