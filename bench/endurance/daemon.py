"""The Docker daemon of S-10, its registry, and what of ours is in it."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker

from bench.images import build_game, push
from galaxy_engine.drivers.docker import default_host
from galaxy_engine.testing import registry
from galaxy_engine.testing.dockerd import Dockerd, NoDockerError, answers

IMAGE = "galaxy/game:endurance"


class DockerMissingError(Exception):
    """There is no daemon, or no image."""


class Daemon:
    """A daemon, in which all that has a stack's label is ours."""

    def __init__(self, docker: aiodocker.Docker, stack: str, image: str) -> None:
        """`image`: by which the backend knows the engine, whose layers the daemon also has under another name."""
        self._docker, self.image = docker, image
        self._ours = {"label": [f"galaxy.stack={stack}"]}

    async def containers(self) -> list[dict[str, Any]]:
        """Return our containers, whatever their state."""
        found = await self._docker.containers.list(all=True, filters=self._ours)
        return [container._container for container in found]

    async def networks(self) -> list[dict[str, Any]]:
        """Return our networks."""
        return list(await self._docker.networks.list(filters=self._ours))

    async def remove_networks(self) -> None:
        """Remove our networks; no container may be on them."""
        for network in await self.networks():
            await self._docker._query_json(f"networks/{network['Id']}", "DELETE")

    async def forget_image(self) -> None:
        """Have the daemon not know the engine by the backend's name for it, nor by its digest."""
        known = await self._docker.images.inspect(IMAGE)
        repository = self.image.rpartition(":")[0]
        for reference in (*known["RepoTags"], *known["RepoDigests"]):
            if reference.startswith((f"{repository}:", f"{repository}@")):
                await self._forget(reference)

    async def _forget(self, reference: str) -> None:
        try:
            await self._docker.images.delete(reference, force=True, noprune=True)
        except aiodocker.DockerError as error:
            if error.status != 404:  # a digest goes with the tag before it
                raise

    async def clear(self) -> None:
        """Remove everything of ours."""
        for each in await self.containers():
            await self._docker.containers.container(each["Id"]).delete(force=True)
        await self.remove_networks()
        if self.image != IMAGE:
            await self.forget_image()


@contextlib.asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[str]:
    """Find a daemon that has the engine's image, or start one in the folder; yield its address."""
    host = default_host(os.environ)
    if await asyncio.to_thread(answers, host):
        await _build(host)
        yield host
        return
    started = Dockerd(folder)
    try:
        await asyncio.to_thread(started.start)
    except NoDockerError as error:
        raise DockerMissingError(f"no Docker daemon answers at {host}, and none can be started: {error}") from error
    try:
        await _build(started.host)
        yield started.host
    finally:
        await asyncio.to_thread(started.clear)


@contextlib.asynccontextmanager
async def pushed_image(folder: Path, host: str) -> AsyncIterator[str | None]:
    """Run a registry that has the image; yield its name there, or None if there is no registry to run."""
    program = shutil.which(registry.PROGRAM)
    if program is None:
        yield None
        return
    process, port = await asyncio.to_thread(registry.start, program, folder)
    try:
        name = f"127.0.0.1:{port}/{IMAGE}"
        if missing := await push(IMAGE, name, host):
            raise DockerMissingError(missing)
        yield name
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _build(host: str) -> None:
    if missing := await build_game(IMAGE, host):
        raise DockerMissingError(missing)
