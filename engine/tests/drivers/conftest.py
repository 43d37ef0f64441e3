"""The hosts that the suite runs on."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import image
import pytest
from hosts import DockerHost, Host, ProcessHost, ProxiedHost, remove_networks

from galaxy_engine.drivers.driver import EngineDriver
from galaxy_engine.testing.fixtures import no_docker


@pytest.fixture(scope="session")
def docker_images(docker_host: str) -> dict[str, str]:
    """The test images by what is special with them."""
    busybox = image.busybox()
    if busybox is None:
        no_docker("the test image is made of a static busybox, and there is none: install busybox-static")
    return asyncio.run(image.make_all(docker_host, str(busybox)))


@pytest.fixture(scope="session")
def docker_network(docker_host: str) -> Iterator[str]:
    """The name of the network of this worker's engines; removed in the end."""
    name = f"galaxy-test-{os.getpid()}"
    yield name
    asyncio.run(remove_networks(docker_host, name))


@pytest.fixture
async def docker_engines(
    docker_host: str, docker_network: str, docker_images: dict[str, str]
) -> AsyncIterator[DockerHost]:
    """The Docker daemon as a place for engines."""
    host = DockerHost(docker_host, docker_network, docker_images)
    yield host
    await host.close()


@pytest.fixture
async def proxied_engines(
    docker_host: str, docker_network: str, docker_images: dict[str, str]
) -> AsyncIterator[ProxiedHost]:
    """The same behind the proxy."""
    host = ProxiedHost(docker_host, docker_network, docker_images)
    yield host
    await host.close()


@pytest.fixture
def process_engines(tmp_path: Path) -> ProcessHost:
    """This machine as a place for engines."""
    return ProcessHost(tmp_path)


@pytest.fixture(params=["process", pytest.param("proxied", marks=pytest.mark.docker)])
def host(request: pytest.FixtureRequest) -> Host:
    """Each place where engines run. Docker is behind the proxy here, and before it in the files of `docker`."""
    host: Host = request.getfixturevalue(f"{request.param}_engines")
    return host


@pytest.fixture
async def driver(host: Host) -> AsyncIterator[EngineDriver]:
    """The driver under test; its owner's engines are removed afterwards."""
    driver = host.driver()
    yield driver
    for engine in await driver.observe():
        await driver.remove(engine.handle, timedelta(0))
    assert await driver.observe() == []
    await driver.close()
