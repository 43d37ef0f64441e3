"""S-10: a backend whose engines are containers is killed a hundred times, each time at a call to the daemon.

Between backend and daemon is a proxy that sees every call about containers. The seed draws what is asked for next (a
game is started, its engine replaced, stopped or started again, the game cancelled), and at which call from then on the
backend is killed by SIGKILL: in turn before the call, while the daemon works at it, and as soon as it has answered,
which is before the backend can commit anything of it. Another process is started at once, and the time runs from when
it is ready. All has converged when each game that should have an engine has exactly one, which runs, of the generation
that its record names, when there is no other container of ours, and when no operation is open. At the end each
operation that was accepted has one row in the log, with one outcome.

The daemon is the one that DOCKER_HOST names, or the usual one, or one of our own for the run.
"""

import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker
import asyncpg
from aiohttp import ClientSession

from bench import postgres, serve
from bench.endurance.backend import Backend
from bench.endurance.hosting import ADMIN, Hosting
from bench.endurance.verdict import Verdict, some
from bench.images import build_game
from galaxy_engine.drivers.docker import default_host
from galaxy_engine.testing.docker_proxy import STAGES, DockerProxy
from galaxy_engine.testing.dockerd import Dockerd, NoDockerError, answers

IMAGE = "galaxy/game:endurance"
WITHIN = 30.0
"""Seconds until all has converged, from when the next process is ready."""
_PATIENCE = 120.0
"""Seconds until it is given up."""
_MOST_CALLS = 8
"""Calls about containers after which a kill happens at the latest: an operation makes about as many."""
_LOOK = 0.1
_WANTED = "SELECT game_id::text, generation FROM runtime_records WHERE wanted = 'up' AND NOT ended"
_OPEN = "SELECT count(*) FROM runtime_operation_log WHERE finished_at IS NULL"
_LOG = "SELECT game_id::text, operation, coalesce(outcome, 'open') AS outcome FROM runtime_operation_log"


class DockerMissingError(Exception):
    """There is no daemon, or no image."""


async def run(*, seed: int, short: bool) -> Verdict:
    """Kill 100 times; once at each stage of a call when short."""
    kills = len(STAGES) if short else 100
    try:
        return await _run(seed, kills)
    except DockerMissingError as error:
        return Verdict("S-10", "docker", seed, 0, {}, 0, 0, 0.0, WITHIN, [str(error)])


async def _run(seed: int, kills: int) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="galaxy-s10-", ignore_cleanup_errors=True) as folder:
        async with _daemon(Path(folder) / "d") as host, postgres.migrated() as dsn:
            if missing := await build_game(IMAGE, host):
                raise DockerMissingError(missing)
            await postgres.run(dsn, *serve.SIGNED_IN)
            async with DockerProxy(Path(folder) / "proxy.sock", host) as proxy, aiodocker.Docker(host) as docker:
                scenario = _Scenario(dsn, proxy, docker, random.Random(seed))
                return await scenario.run(seed, kills)


@contextlib.asynccontextmanager
async def _daemon(folder: Path) -> AsyncIterator[str]:
    host = default_host(os.environ)
    if await asyncio.to_thread(answers, host):
        yield host
        return
    daemon = Dockerd(folder)
    try:
        await asyncio.to_thread(daemon.start)
    except NoDockerError as error:
        raise DockerMissingError(f"no Docker daemon answers at {host}, and none can be started: {error}") from error
    try:
        yield daemon.host
    finally:
        await asyncio.to_thread(daemon.clear)


class _Scenario:
    def __init__(self, dsn: str, proxy: DockerProxy, docker: aiodocker.Docker, source: random.Random) -> None:
        self._dsn, self._proxy, self._docker, self._random = dsn, proxy, docker, source
        self._stack = f"endurance-{os.getpid()}"
        self._backend = Backend(dsn, self._environment())
        self._killed_at = 0.0
        self._took: list[float] = []
        """Seconds from each kill until all had converged."""
        self._ready: list[float] = []
        """Of these, until the next process was ready."""
        self._at: Counter[str] = Counter()
        """Kills, by the calls at which they happened."""
        self._wrong: Counter[str] = Counter()

    def _environment(self) -> dict[str, str]:
        return {
            "BACKEND_RUNTIME_DRIVER": "docker",
            "BACKEND_RUNTIME_IDLE_STOP": "never",
            "BACKEND_DOCKER_HOST": self._proxy.host,
            "BACKEND_DOCKER_NETWORK": f"galaxy-{self._stack}",
            "BACKEND_STACK_LABEL": self._stack,
            "BACKEND_ENGINEVERSION_VERSIONS": f"galaxy@1.0.0={IMAGE}",
            **ADMIN,
        }

    async def run(self, seed: int, kills: int) -> Verdict:
        """Kill so many times, and return what came of it."""
        connection = await asyncpg.connect(self._dsn)
        try:
            await self._backend.start()
            async with ClientSession() as client:
                hosting = Hosting(client, self._backend, self._random)
                await hosting.begin()
                while len(self._took) < kills:
                    await self._strike(connection, hosting)
            rows = await connection.fetch(_LOG)
        finally:
            await self._backend.stop()
            await self._remove_all()
            await connection.close()
        outcomes = Counter(row["outcome"] for row in rows)
        there = Counter((row["game_id"], row["operation"]) for row in rows)
        return Verdict(
            id="S-10",
            scenario="docker",
            seed=seed,
            operations=sum(hosting.accepted.values()),
            kills={"backend at a call to Docker": len(self._took)},
            lost=sum(max(0, count - there[wish]) for wish, count in hosting.accepted.items()),
            duplicated=sum(max(0, count - hosting.asked[wish]) for wish, count in there.items()),
            converged_in=max(took - ready for took, ready in zip(self._took, self._ready, strict=True)),
            within=WITHIN,
            broken=[
                *some("operation that did not succeed", [dict(row) for row in rows if row["outcome"] != "succeeded"]),
                *some("operation logged twice", [wish for wish in there if there[wish] > hosting.asked[wish]]),
                *some("not converged", sorted(self._wrong)),
            ],
            notes={
                "games": len(hosting.games),
                "operations succeeded": outcomes["succeeded"],
                "converged after the kill, median, s": statistics.median(self._took),
                "next process ready after the kill, median, s": statistics.median(self._ready),
                **{f"killed {call}": number for call, number in sorted(self._at.items())},
            },
        )

    async def _strike(self, connection: "asyncpg.Connection[asyncpg.Record]", hosting: Hosting) -> None:
        """Ask for something, kill at a call that follows if there are so many, and wait until all has converged."""
        call, stage = self._random.randint(1, _MOST_CALLS), STAGES[len(self._took) % len(STAGES)]
        self._killed_at = 0.0
        self._proxy.arm(call, stage, self._kill)
        settling = asyncio.create_task(self._settle(connection, hosting))
        struck = asyncio.create_task(self._proxy.struck.wait())
        await asyncio.wait([settling, struck], return_when=asyncio.FIRST_COMPLETED)
        self._proxy.disarm()
        if self._killed_at:  # also where it has only begun
            await struck
        struck.cancel()
        if self._proxy.struck.is_set():
            self._at[f"{stage} {self._proxy.calls[call - 1]}"] += 1
            await self._backend.ended()
            await self._backend.start()
            self._ready.append(time.monotonic() - self._killed_at)
        await settling
        if self._proxy.struck.is_set():
            await self._converge(connection)  # again: the kill may have come right after all had converged
            self._took.append(time.monotonic() - self._killed_at)
            print(
                f"  docker: kill {len(self._took)} {list(self._at)[-1]}: ready in {self._ready[-1]:.1f} s,"
                f" converged in {self._took[-1]:.1f} s",
                file=sys.stderr,
                flush=True,
            )

    async def _kill(self) -> None:
        self._killed_at = time.monotonic()
        self._backend.kill()
        await self._backend.ended()

    async def _settle(self, connection: "asyncpg.Connection[asyncpg.Record]", hosting: Hosting) -> None:
        await hosting.ask_for_something()
        await self._converge(connection)

    async def _converge(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Wait until all has converged; note what has not."""
        until = time.monotonic() + _PATIENCE
        while (wrong := await self._not_converged(connection)) and time.monotonic() < until:  # noqa: ASYNC110 - of others
            await asyncio.sleep(_LOOK)
        if wrong:
            self._wrong[wrong] += 1

    async def _not_converged(self, connection: "asyncpg.Connection[asyncpg.Record]") -> str:
        """Return what is not as it should be; "" where all is."""
        if opened := await connection.fetchval(_OPEN):
            return f"{opened} open operations"
        wanted = sorted((row["game_id"], row["generation"], "running") for row in await connection.fetch(_WANTED))
        found = sorted(
            (each["Labels"]["galaxy.game"], int(each["Labels"]["galaxy.generation"]), each["State"])
            for each in await self._containers()
        )
        return "" if wanted == found else f"{found} in place of {wanted}"

    async def _containers(self) -> list[dict[str, Any]]:
        found = await self._docker.containers.list(all=True, filters={"label": [f"galaxy.stack={self._stack}"]})
        return [container._container for container in found]

    async def _remove_all(self) -> None:
        for each in await self._containers():
            await self._docker.containers.container(each["Id"]).delete(force=True)
        for network in await self._docker.networks.list(filters={"name": f"galaxy-{self._stack}"}):
            await self._docker._query_json(f"networks/{network['Id']}", "DELETE")
