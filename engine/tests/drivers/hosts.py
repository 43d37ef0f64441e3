"""What the suite needs from a host of engines besides the driver: a hand from outside."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from socket import socket
from typing import Any, Protocol
from uuid import uuid4

import aiodocker
from aiodocker.containers import DockerContainer

from galaxy_engine.drivers.docker import DockerDriver
from galaxy_engine.drivers.driver import EngineDriver, EngineId, EngineSpec, Limits, Observed
from galaxy_engine.drivers.process import ProcessDriver
from galaxy_engine.proxy.policy import MOST, Policy
from galaxy_engine.proxy.server import listen, serving

SCRIPT = Path(__file__).with_name("engine.sh")


class Host(Protocol):
    """A place where engines run, for one test."""

    name: str
    image: str
    """The engine that does what DO says."""
    missing: str
    """What `prepare` and `launch` do not find."""
    owner: str

    def driver(self, owner: str | None = None) -> EngineDriver:
        """Return another driver, as another backend would make it."""
        ...

    async def kill(self, engine: Observed) -> None:
        """Kill the engine behind its driver's back."""
        ...

    async def occupy(self, identity: EngineId) -> None:
        """Let something that is not ours hold the engine's name."""
        ...


class ProcessHost:
    """This machine."""

    name = "process"

    def __init__(self, folder: Path) -> None:
        self.owner = str(uuid4())
        self.folder = folder / "engines"
        self.image = str(folder / "engine.sh")
        shutil.copy(SCRIPT, self.image)
        self.missing = str(folder / "missing")

    def driver(self, owner: str | None = None) -> ProcessDriver:
        return ProcessDriver(owner or self.owner, self.folder)

    async def kill(self, engine: Observed) -> None:
        os.kill(int(engine.handle.partition(":")[0]), signal.SIGKILL)

    async def occupy(self, identity: EngineId) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / identity.name).write_text("a list of things to do\n")


class DockerHost:
    """A Docker daemon, seen through a client of its own."""

    name = "docker"

    def __init__(self, host: str, network: str, images: Mapping[str, str]) -> None:
        self.owner = str(uuid4())
        self.host = host
        self.network = network
        self.images = images
        """The test images by what is special with them."""
        self.image = images["engine"]
        self.missing = "127.0.0.1:1/galaxy-test/missing:1"
        self.docker = aiodocker.Docker(host)
        self._occupied: list[DockerContainer] = []

    def driver(self, owner: str | None = None, **settings: Any) -> DockerDriver:
        return DockerDriver(owner or self.owner, self.host, settings.pop("network", self.network), **settings)

    def container(self, handle: str) -> DockerContainer:
        return self.docker.containers.container(handle)

    async def inspect(self, handle: str) -> dict[str, Any]:
        return await self.container(handle).show()

    async def networks(self, name: str) -> list[dict[str, Any]]:
        return await self.docker.networks.list(filters={"name": name})

    async def find_network(self, network: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.docker._query_json(f"networks/{network}")
        return found

    async def kill(self, engine: Observed) -> None:
        await self.container(engine.handle).kill()

    async def occupy(self, identity: EngineId, **config: Any) -> DockerContainer:
        whole = {"Image": self.image, "HostConfig": {"NetworkMode": "none"}, **config}
        container = await self.docker.containers.create(whole, name=identity.name)
        self._occupied.append(container)
        return container

    async def close(self) -> None:
        for container in self._occupied:
            with contextlib.suppress(aiodocker.DockerError):
                await container.delete(force=True)
        await self.docker.close()


class ProxiedHost(DockerHost):
    """A Docker daemon behind the proxy: all that a driver does must pass."""

    name = "proxied"

    def __init__(self, host: str, network: str, images: Mapping[str, str]) -> None:
        super().__init__(host, network, images)
        self._closed = asyncio.Event()
        listener = listen("127.0.0.1:0")  # which takes connections already
        self._address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        self._proxy = asyncio.create_task(self._serve(listener))

    def driver(self, owner: str | None = None, **settings: Any) -> DockerDriver:
        return DockerDriver(owner or self.owner, self._address, self.network, **settings)

    async def _serve(self, listener: socket) -> None:
        policy = Policy.checked("suite", ("galaxy-test/", "127.0.0.1:1/galaxy-test/"), (self.network,), MOST)
        async with serving(policy, self.host, listener):
            await self._closed.wait()

    async def close(self) -> None:
        self._closed.set()
        await self._proxy
        await super().close()


def a_spec(host: Host, *, owner: str | None = None, limits: Limits | None = None, **environment: str) -> EngineSpec:
    """Return an engine of a new game."""
    identity = EngineId(owner or host.owner, uuid4(), 1)
    return EngineSpec(identity, host.image, environment, limits or Limits())


async def ended(driver: EngineDriver, engine: Observed) -> Observed:
    """Wait until the engine is seen as ended with an exit code, and return it so."""
    while True:
        for seen in await driver.observe(engine.id.game_id):
            if seen.handle == engine.handle and seen.state == "ended" and seen.exit_code is not None:
                return seen
        await asyncio.sleep(0.02)


async def written(driver: EngineDriver, engine: Observed, text: str) -> str:
    """Wait until the engine has written the text, and return all it has written."""
    while text not in (output := await driver.logs(engine.handle, 65536)):
        await asyncio.sleep(0.02)
    return output


def variables(output: str) -> Mapping[str, str]:
    """Return what `DO=variables` printed."""
    return dict(line.partition("=")[::2] for line in output.splitlines())


async def remove_networks(host: str, prefix: str) -> None:
    """Remove the networks whose names begin so, and what is still on them."""
    async with aiodocker.Docker(host) as docker:
        for network in await docker.networks.list(filters={"name": prefix}):
            for container in (await docker._query_json(f"networks/{network['Id']}"))["Containers"]:
                with contextlib.suppress(aiodocker.DockerError):  # it is being removed
                    await docker.containers.container(container).delete(force=True)
            await docker._query_json(f"networks/{network['Id']}", "DELETE")
