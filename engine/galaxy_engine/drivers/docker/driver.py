"""The driver `docker`: a container for each engine, named for it, without a way out."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer

from galaxy_engine.drivers.docker import containers, users
from galaxy_engine.drivers.docker.daemon import Daemon, Json
from galaxy_engine.drivers.docker.images import Images
from galaxy_engine.drivers.docker.networks import Networks, Reach, own_container
from galaxy_engine.drivers.docker.output import read_frames
from galaxy_engine.drivers.driver import EngineSpec, Observed, Prepared, PullPolicy
from galaxy_engine.drivers.output import clean
from galaxy_engine.failures import (
    ConfigInvalid,
    EngineFailure,
    ImageNotFound,
    NameTaken,
    PortConflict,
    StartFailed,
)

ATTEMPTS = 5
POLL = 0.1
INSPECTIONS = 8
"""Inspections at once."""
EVENTS = ["start", "die", "oom", "destroy"]
_HANDLE = re.compile(r"[0-9a-f]{64}")
_PORT_IN_USE = ("port is already allocated", "address already in use")


class DockerDriver:
    """Runs images as containers of one daemon, reached on their network or by a port of the loopback.

    Belongs to the event loop of its first call. The daemon may go away and come back at any time.
    """

    name = "docker"

    def __init__(
        self,
        owner: str,
        host: str,
        network: str,
        *,
        reach: Reach = "network",
        timeout: timedelta = timedelta(seconds=30),
        patience: timedelta = timedelta(minutes=5),
        container: str | None = None,
        credentials: Path | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Describe the host without touching it.

        `timeout`: within which the daemon must answer a call. `patience`: how long a pull may make no progress.
        `container`: the id of the container that this process is in, found out unless given. `credentials`: a Docker
        `config.json` with logins to registries, read at each pull; None: images are pulled without a login. `labels`:
        further ones, such as the stack's, on every container and network.
        """
        self._owner, self._labels = owner, labels
        self._reach: Reach = reach
        self._daemon = Daemon(host, timeout)
        self._images = Images(self._daemon, patience, credentials)
        self._networks = Networks(self._daemon, network, owner, reach, container or own_container(), labels)
        self._timeout = timeout

    async def check(self) -> None:
        """Return if the daemon answers and the network has room."""
        await self._networks.check()

    async def prepare(self, image: str, policy: PullPolicy) -> Prepared:
        """Ensure that the image is here. Under `always` a failed pull is `PullFailed` even beside an older copy."""
        return await self._images.prepare(image, policy)

    async def launch(self, spec: EngineSpec) -> Observed:
        """Create and start the container, or return the engine that has this id, which may have ended.

        A launch that was cut short at any point leaves at most a container that the next one starts.
        """
        if spec.id.owner != self._owner:
            raise ValueError(f"{spec.id} is not of the owner {self._owner}")
        network = await self._networks.ensure()
        image = await self._images.get(spec.image)
        user = (image.get("Config") or {}).get("User") or ""
        wanted = containers.NOBODY if users.number(user) == 0 else None
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(POLL * attempt)
            config = containers.config(spec, image, network, self._reach, wanted, self._labels)
            made = await self._create(spec, config)
            holder = await self._inspect(made or spec.id.name)
            if holder is None:
                continue
            engine = self._checked(spec, holder)
            if engine.state == "leaving":
                continue
            if engine.state != "starting":
                return engine
            if wanted is None and await self._is_root(holder):
                wanted = containers.NOBODY
                await self._discard(engine.handle)
            elif await self._start(spec, engine.handle, adopted=made is None):
                return self._checked(spec, await self._inspect(engine.handle))
        raise StartFailed(f"{spec.id.name} is created and removed by others at the same time")

    async def _create(self, spec: EngineSpec, config: Json) -> str | None:
        """Create the container and return its id; None if there is one of the engine's name."""
        name = spec.id.name
        try:
            made = await self._daemon.call(lambda docker: docker.containers.create(config, name=name))
        except DockerError as error:
            if error.status == 409:
                return None
            if error.status == 404:
                raise ImageNotFound(f"the image {spec.image} is not here", error.message) from error
            if error.status in {400, 403}:
                raise ConfigInvalid(f"{name} cannot be created as configured", error.message) from error
            raise StartFailed(f"{name} cannot be created", error.message) from error
        return str(made.id)

    @staticmethod
    def _checked(spec: EngineSpec, holder: Json | None) -> Observed:
        """Return who holds the engine's name. Raise `NameTaken` if that is not the engine."""
        if holder is None:
            raise StartFailed(f"{spec.id.name} was removed right after its start")
        engine = containers.from_inspection(holder)
        if engine is None or engine.id != spec.id:
            raise NameTaken(f"a container that is not ours is called {spec.id.name}", holder["Id"])
        return engine

    async def _start(self, spec: EngineSpec, handle: str, *, adopted: bool) -> bool:
        """Start the container. What cannot be started is removed; an adopted one is then to be made again: False."""
        try:
            await self._daemon.call(lambda docker: _container(docker, handle).start())
        except DockerError as error:
            await self._discard(handle)
            if adopted:  # it may have been left long ago, and its network or image be gone since
                return False
            raise _start_failure(spec, error.message) from error
        return True

    async def remove(self, handle: str, grace: timedelta) -> None:
        """Stop the container, kill it after `grace`, and remove it with its volumes."""
        if await self._ours(handle) is None:
            return
        seconds = math.ceil(grace.total_seconds())
        try:
            await self._daemon.call(lambda docker: _container(docker, handle).stop(t=seconds), grace)
        except DockerError as error:
            if error.status != 404:
                raise self._daemon.unreachable(error) from error
        await self._discard(handle)

    async def _discard(self, handle: str) -> None:
        """Remove the container whatever it does, and wait until it is gone if somebody else removes it."""
        try:
            await self._daemon.call(lambda docker: _container(docker, handle).delete(force=True, v=True))
        except DockerError as error:
            if error.status == 404:
                return
            if error.status != 409:
                raise self._daemon.unreachable(error) from error
        else:
            return
        await self._daemon.ask(lambda docker: _container(docker, handle).wait(condition="removed"))

    async def observe(self, game_id: UUID | None = None) -> Sequence[Observed]:
        """Return every container of this owner (of one game), whatever its state.

        `started_at` is when the container was created, to the second.
        """
        wanted = [f"galaxy.owner={self._owner}"] + ([f"galaxy.game={game_id}"] if game_id else [])
        filters = json.dumps({"label": wanted})
        listed: list[Json] | None = await self._daemon.ask(
            lambda docker: docker._query_json("containers/json", params={"all": "1", "filters": filters})
        )
        limit = asyncio.Semaphore(INSPECTIONS)

        async def completed(item: Json) -> Observed | None:
            engine = containers.from_listing(item)
            if engine is None or (engine.state == "running" and not engine.image.startswith("sha256:")):
                return engine  # an image whose reference has moved is listed by its id
            async with limit:
                info = await self._inspect(item["Id"])
            return containers.from_inspection(info) if info is not None else None

        return [engine for engine in await asyncio.gather(*map(completed, listed or ())) if engine is not None]

    async def watch(self) -> AsyncIterator[UUID]:
        """Yield the games of containers that start, end or go, until the daemon's stream ends."""
        filters = {"type": ["container"], "label": [f"galaxy.owner={self._owner}"], "event": EVENTS}
        try:
            async with self._daemon.stream("GET", "events", {"filters": json.dumps(filters)}) as lines:
                async for line in lines:
                    engine = containers.identity(json.loads(line)["Actor"]["Attributes"])
                    if engine is not None:
                        yield engine.game_id
        except DockerError as error:
            raise self._daemon.unreachable(error) from error

    async def logs(self, handle: str, tail: int) -> str:
        """Return the last `tail` bytes of what the engine wrote to stdout and stderr, of the last two megabytes."""
        if tail <= 0 or await self._ours(handle) is None:
            return ""
        params = {"stdout": "1", "stderr": "1", "tail": str(tail)}  # lines, each of a byte or more
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                async with self._daemon.stream("GET", f"containers/{handle}/logs", params) as stream:
                    return clean(await read_frames(stream, tail + 1), tail)
        except TimeoutError as error:
            raise self._daemon.unreachable(error) from error
        except DockerError as error:
            if error.status in {404, 409}:
                return ""
            raise self._daemon.unreachable(error) from error

    async def _ours(self, handle: str) -> Json | None:
        """Return the container if there is one of this owner."""
        info = await self._inspect(handle) if _HANDLE.fullmatch(handle) else None
        found = containers.identity(info["Config"].get("Labels") or {}) if info is not None else None
        return info if found is not None and found.owner == self._owner else None

    async def _is_root(self, holder: Json) -> bool:
        user = holder["Config"].get("User") or ""
        number = users.number(user)
        return number == 0 or (number is None and await users.is_root(self._daemon, holder["Id"], user))

    async def _inspect(self, container: str) -> Json | None:
        """Return what the daemon knows of the container, None if there is none."""
        return await self._daemon.ask(lambda docker: _container(docker, container).show())

    async def close(self) -> None:
        """Close the connections. Engines go on."""
        await self._daemon.close()


def _container(docker: Docker, container: str) -> DockerContainer:
    return docker.containers.container(container)


def _start_failure(spec: EngineSpec, message: str) -> EngineFailure:
    """Return what the daemon's answer to a start means."""
    lower = message.lower()
    if any(text in lower for text in _PORT_IN_USE):
        return PortConflict(f"the port for {spec.id.name} is in use", message)
    if "exec format error" in lower:
        return ConfigInvalid(f"the image {spec.image} is not for the daemon's platform", message)
    if "is ambiguous" in lower:
        return ConfigInvalid(
            "there are two networks of the engines' name: remove the one that is not the backend's", message
        )
    return StartFailed(f"{spec.id.name} cannot be started", message)
