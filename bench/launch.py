"""S-13: an engine's container from nothing to healthy and described, and its removal, by the driver and by bare calls.

Ours is what the runtime does through the driver `docker`: `check` and `prepare`, `launch`, health, `describe`, and
later `remove`. The rival makes the same container of the same image on the same network by aiodocker alone (create,
start, inspect, health, `describe`; stop, delete): the difference is what the driver looks at. Both ask for health every
50 ms. One engine at a time; the ratio is of the medians within a round, as speeds: 0.8 is the goal of 1.25 times the
seconds. That the engine is recorded in the database has no part in it.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import uuid4

import aiodocker

from bench.images import build_game
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave
from galaxy_engine.client import EngineClient
from galaxy_engine.drivers.docker import DockerDriver, containers, default_host
from galaxy_engine.drivers.driver import EngineId, EngineSpec
from galaxy_engine.failures import EngineFailure, Unhealthy
from galaxy_engine.transport import Transport

IMAGE = "galaxy/game:bench"
POLL = 0.05
"""Seconds between two questions for health, as in the runtime."""
GRACE = timedelta(seconds=10)
TOKEN = "a token for the engines of the bench"
_WHAT = {"launched": ("engine launched, healthy, described", 0.8), "removed": ("engine removed", 0.8)}
_UNIT = "/s, of p50"


async def measure(*, quick: bool) -> list[Figure]:
    """Launch and remove 20 engines in each round, 5 when quick."""
    count, rounds = (5, 2) if quick else (20, 5)
    missing = await _missing()
    if missing:
        return [
            Figure("S-13", what, _UNIT, against="bare calls", goal=goal, note=missing) for what, goal in _WHAT.values()
        ]
    network = f"galaxy-bench-{os.getpid()}"
    arguments = {"network": network, "count": count}
    sides: dict[str, Run] = {
        "ours": partial(alone, "bench.launch:ours", **arguments),
        "bare calls": partial(alone, "bench.launch:bare", **arguments),
    }
    try:
        taken = await interleave(rounds, **sides)
    finally:
        await _remove_network(network)
    return [
        *(
            taken.figure("S-13", what, _UNIT, name, against="bare calls", goal=goal)
            for name, (what, goal) in _WHAT.items()
        ),
        *(
            taken.figure("-", f"{what}, {side}, p50", "s", f"{name} in", ours=side)
            for name, (what, _) in _WHAT.items()
            for side in sides
        ),
    ]


async def _missing() -> str:
    """Return why nothing can be measured; "" where the daemon answers and has the image."""
    driver = DockerDriver(str(uuid4()), default_host(os.environ), "galaxy-bench")
    try:
        await driver.prepare("galaxy/none:bench", "never")
    except EngineFailure as failure:
        if failure.code != "image_not_found":
            return str(failure)
    finally:
        await driver.close()
    return await build_game(IMAGE, default_host(os.environ))


async def _remove_network(network: str) -> None:
    async with aiodocker.Docker(default_host(os.environ)) as docker:
        for found in await docker.networks.list(filters={"name": network}):
            await docker._query_json(f"networks/{found['Id']}", "DELETE")


async def ours(network: str, count: int) -> Values:
    """Launch and remove by the driver."""
    owner = str(uuid4())
    driver = DockerDriver(owner, default_host(os.environ), network)

    async def launch() -> tuple[str, str]:
        await driver.check()
        prepared = await driver.prepare(IMAGE, "if_missing")
        engine = await driver.launch(_spec(owner, prepared.image))
        assert engine.address is not None
        return engine.handle, engine.address

    try:
        return await _timed(launch, lambda handle: driver.remove(handle, GRACE), count)
    finally:
        await driver.close()


async def bare(network: str, count: int) -> Values:
    """Launch and remove by aiodocker alone."""
    owner = str(uuid4())
    driver = DockerDriver(owner, default_host(os.environ), network)
    await driver.check()  # makes the network
    await driver.close()
    async with aiodocker.Docker(default_host(os.environ)) as docker:
        [found] = await docker.networks.list(filters={"name": network})
        image = await docker.images.inspect(IMAGE)

        async def launch() -> tuple[str, str]:
            spec = _spec(owner, IMAGE)
            config = containers.config(spec, image, found["Id"], "network", None, {})
            container = await docker.containers.create(config, name=spec.id.name)
            await container.start()
            [attached] = (await container.show())["NetworkSettings"]["Networks"].values()
            return container.id, f"{attached['IPAddress']}:{containers.PORT}"

        async def remove(handle: str) -> None:
            container = docker.containers.container(handle)
            await container.stop(t=int(GRACE.total_seconds()))
            await container.delete(force=True, v=True)

        return await _timed(launch, remove, count)


def _spec(owner: str, image: str) -> EngineSpec:
    return EngineSpec(EngineId(owner, uuid4(), 1), image, {"GALAXY_TOKEN": TOKEN})


async def _timed(
    launch: Callable[[], Awaitable[tuple[str, str]]], remove: Callable[[str], Awaitable[None]], count: int
) -> Values:
    """Return the medians over `count` engines, after one that is not counted."""
    up, down = list[float](), list[float]()
    async with Transport() as transport:
        for _ in range(count + 1):
            began = time.perf_counter()
            handle, address = await launch()
            client = EngineClient(transport, address, TOKEN)
            await _healthy(client)
            await client.describe()
            up.append(time.perf_counter() - began)
            began = time.perf_counter()
            await remove(handle)
            down.append(time.perf_counter() - began)
    launched, removed = statistics.median(up[1:]), statistics.median(down[1:])
    return {"launched": 1 / launched, "removed": 1 / removed, "launched in": launched, "removed in": removed}


async def _healthy(client: EngineClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                return await client.health()
            except Unhealthy:
                await asyncio.sleep(POLL)
