"""S-10: a backend whose engines are containers is killed a hundred times, each time at a call to the daemon.

Between backend and daemon is a proxy that sees every call. The seed draws at which the backend is killed by SIGKILL:
nine times in ten one that changes something, of each kind and on each side of it equally often, else one that reads
(`strikes`). The backend is then asked for something that makes such a call, as the seed draws (a game is started, its
engine replaced, stopped or started again, the game cancelled), until the call comes. It never sees its answer: it dies
before the call is sent, while the daemon works at it, or when the daemon has done it. So that networks and images are
made too, the network is removed before, with all games on it, or the image, which then is in a registry only.

Another process is started at once, and the time runs from when it is ready. All has converged when each game that
should have an engine has exactly one, which runs, of the generation that its record names, when there is no other
container of ours, at most one network, and when no operation is open. At the end each operation that was accepted has
one row in the log, with one outcome. A kind and side at which no kill happened, and a kind of call that changes
something and is never drawn, are faults of the run.

The daemon is the one that DOCKER_HOST names, or the usual one, or one of our own for the run.
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiodocker
import asyncpg
from aiohttp import ClientSession

from bench import postgres, serve
from bench.endurance.backend import Backend
from bench.endurance.daemon import IMAGE, Daemon, DockerMissingError, daemon, pushed_image
from bench.endurance.hosting import ADMIN, STARTS, STOPS, Hosting
from bench.endurance.strikes import (
    CHANGING,
    CONTAINERS,
    NETWORKS,
    PULL,
    READING,
    Strike,
    draw,
    draw_few,
    never_struck,
    unknown,
)
from bench.endurance.verdict import Verdict, some
from galaxy_engine.testing.docker_proxy import DockerProxy

WITHIN = 30.0
"""Seconds until all has converged, from when the next process is ready."""
KILLS = 100
_PATIENCE = 120.0
"""Seconds until it is given up."""
_MOST_REQUESTS = 12
"""Requests after which a call that did not come is given up."""
_LOOK = 0.1
_WANTED = "SELECT game_id::text, generation FROM runtime_records WHERE wanted = 'up' AND NOT ended"
_OPEN = "SELECT count(*) FROM runtime_operation_log WHERE finished_at IS NULL"
_LOG = "SELECT game_id::text, operation, coalesce(outcome, 'open') AS outcome FROM runtime_operation_log"
_STOPPING = frozenset(CONTAINERS[2:])
"""Calls that are made where an engine is removed; all others are made where one is started."""


async def run(*, seed: int, short: bool, kills: int = KILLS) -> Verdict:
    """Kill so many times; when short once at each stage of a call, with an image that needs no pull."""
    source = random.Random(seed)
    try:
        with tempfile.TemporaryDirectory(prefix="galaxy-s10-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            async with daemon(folder / "d") as host:
                if short:
                    return await _run(seed, source, draw_few(source), folder, host, IMAGE)
                async with pushed_image(folder, host) as image:
                    changing = [kind for kind in CHANGING if kind != PULL or image]
                    return await _run(seed, source, draw(source, kills, changing), folder, host, image or IMAGE)
    except DockerMissingError as error:
        return Verdict("S-10", "docker", seed, 0, {}, 0, 0, 0.0, WITHIN, [str(error)])


async def _run(seed: int, source: random.Random, strikes: list[Strike], folder: Path, host: str, image: str) -> Verdict:
    async with postgres.migrated() as dsn:
        await postgres.run(dsn, *serve.SIGNED_IN)
        async with DockerProxy(folder / "proxy.sock", host) as proxy, aiodocker.Docker(host) as docker:
            stack = f"endurance-{os.getpid()}"
            scenario = _Scenario(dsn, proxy, Daemon(docker, stack, image), stack, source)
            return await scenario.run(seed, strikes)


class _Scenario:
    def __init__(self, dsn: str, proxy: DockerProxy, daemon: Daemon, stack: str, source: random.Random) -> None:
        self._dsn, self._proxy, self._daemon, self._random = dsn, proxy, daemon, source
        self._backend = Backend(dsn, _environment(proxy.host, stack, daemon.image))
        self._killed_at = 0.0
        self._took: list[float] = []
        """Seconds from each kill until all had converged."""
        self._ready: list[float] = []
        """Of these, until the next process was ready."""
        self._struck: Counter[str] = Counter()
        """Kills, by the calls at which they happened."""
        self._wrong: Counter[str] = Counter()

    async def run(self, seed: int, strikes: list[Strike]) -> Verdict:
        """Kill at these calls, and return what came of it."""
        connection = await asyncpg.connect(self._dsn)
        try:
            await self._backend.start()
            async with ClientSession() as client:
                hosting = Hosting(client, self._backend, self._random)
                await hosting.begin()
                for strike in strikes:
                    await self._strike(strike, connection, hosting)
            rows = [dict(row) for row in await connection.fetch(_LOG)]
        finally:
            await self._backend.stop()
            await self._daemon.clear()
            await connection.close()
        return self._verdict(seed, strikes, hosting, rows)

    def _verdict(self, seed: int, strikes: list[Strike], hosting: Hosting, rows: list[dict[str, str]]) -> Verdict:
        outcomes = Counter(row["outcome"] for row in rows)
        there = Counter((row["game_id"], row["operation"]) for row in rows)
        planned = Counter(map(str, strikes))
        due = never_struck(self._struck) if len(strikes) >= KILLS else sorted(planned - self._struck)
        reading = sum(number for call, number in self._struck.items() if call.endswith(READING))
        return Verdict(
            id="S-10",
            scenario="docker",
            seed=seed,
            operations=sum(hosting.accepted.values()),
            kills={
                "backend at a call to Docker that changes something": self._struck.total() - reading,
                "at one that reads": reading,
            },
            lost=sum(max(0, count - there[wish]) for wish, count in hosting.accepted.items()),
            duplicated=sum(max(0, count - hosting.asked[wish]) for wish, count in there.items()),
            converged_in=max((took - ready for took, ready in zip(self._took, self._ready, strict=True)), default=0.0),
            within=WITHIN,
            broken=[
                *some("operation that did not succeed", [row for row in rows if row["outcome"] != "succeeded"]),
                *some("operation logged twice", [wish for wish in there if there[wish] > hosting.asked[wish]]),
                *some("not converged", sorted(self._wrong)),
                *some("call at which no kill happened", due),
                *some("changing call that is never drawn", unknown(self._proxy.calls)),
            ],
            notes={
                "games": len(hosting.games),
                "operations succeeded": outcomes["succeeded"],
                "converged after the kill, median, s": statistics.median(self._took or [0.0]),
                "next process ready after the kill, median, s": statistics.median(self._ready or [0.0]),
                **{f"killed {call}": number for call, number in sorted(self._struck.items())},
            },
        )

    async def _strike(self, strike: Strike, connection: "asyncpg.Connection[asyncpg.Record]", hosting: Hosting) -> None:
        """Ask until the call comes, kill at it, and wait until all has converged."""
        for _ in range(_MOST_REQUESTS):
            await self._make_way(strike, connection, hosting)
            self._proxy.arm(strike.kind, strike.stage, self._kill, occurrence=strike.occurrence)
            settling = asyncio.create_task(self._settle(strike, connection, hosting))
            struck = asyncio.create_task(self._proxy.struck.wait())
            await asyncio.wait([settling, struck], return_when=asyncio.FIRST_COMPLETED)
            self._proxy.disarm()
            if self._proxy.reached:
                await struck
                await self._go_on(strike, settling, connection)
                return
            struck.cancel()
            await settling

    async def _go_on(
        self, strike: Strike, settling: asyncio.Task[None], connection: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        """Start the next process, and wait until all has converged."""
        await self._backend.ended()
        await self._backend.start()
        self._ready.append(time.monotonic() - self._killed_at)
        await settling
        await self._converge(connection)  # again: the kill may have come right after all had converged
        self._took.append(time.monotonic() - self._killed_at)
        self._struck[str(strike)] += 1
        print(
            f"  docker: kill {len(self._took)} {strike}: ready in {self._ready[-1]:.1f} s,"
            f" converged in {self._took[-1]:.1f} s",
            file=sys.stderr,
            flush=True,
        )

    async def _kill(self) -> None:
        self._killed_at = time.monotonic()
        self._backend.kill()
        await self._backend.ended()

    async def _make_way(
        self, strike: Strike, connection: "asyncpg.Connection[asyncpg.Record]", hosting: Hosting
    ) -> None:
        """Have the network, or the image, be missing where the call is one that makes it."""
        if strike.kind in NETWORKS:
            await hosting.cancel_all()
            await self._converge(connection)
            await self._daemon.remove_networks()
        if strike.kind == PULL:
            await self._daemon.forget_image()

    async def _settle(self, strike: Strike, connection: "asyncpg.Connection[asyncpg.Record]", hosting: Hosting) -> None:
        await hosting.ask_for_something(STOPS if strike.kind in _STOPPING else STARTS)
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
            for each in await self._daemon.containers()
        )
        if wanted != found:
            return f"{found} in place of {wanted}"
        networks = [each["Name"] for each in await self._daemon.networks()]
        return f"{networks} in place of one network" if len(networks) > 1 else ""


def _environment(host: str, stack: str, image: str) -> dict[str, str]:
    return {
        "BACKEND_RUNTIME_DRIVER": "docker",
        "BACKEND_RUNTIME_IDLE_STOP": "never",
        "BACKEND_DOCKER_HOST": host,
        "BACKEND_DOCKER_NETWORK": f"galaxy-{stack}",
        "BACKEND_STACK_LABEL": stack,
        "BACKEND_ENGINEVERSION_VERSIONS": f"galaxy@1.0.0={image}",
        **ADMIN,
    }
