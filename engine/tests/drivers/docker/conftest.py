"""The Docker daemon as the one host here, and what may be done to it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from hosts import DockerHost, remove_networks

from galaxy_engine.drivers.docker import DockerDriver


@pytest.fixture
def host(docker_engines: DockerHost) -> DockerHost:
    return docker_engines


@pytest.fixture
async def driver(host: DockerHost) -> AsyncIterator[DockerDriver]:
    driver = host.driver()
    yield driver
    for engine in await driver.observe():
        await driver.remove(engine.handle, timedelta(0))
    await driver.close()


@pytest.fixture
async def name(host: DockerHost) -> AsyncIterator[str]:
    """The name of a network that is not there; what a test puts on it or calls by it is removed."""
    name = f"galaxy-test-{uuid4().hex[:8]}"
    yield name
    await remove_networks(host.host, name)
