"""Several backends, several gateways: cut connections, killed backends, a Postgres that restarts."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from galaxy_devkit.testing import PostgresCluster

CUTS = 50
KILLS = 3
PROGRAM = Path(__file__).with_name("killed_backends.py")


class Killed:
    """A backend in a process of its own that is killed and started again."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.process: asyncio.subprocess.Process
        self.address = ""

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        command = (sys.executable, str(PROGRAM), self._dsn)
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(*command, stdout=null, stderr=pipe)
        assert self.process.stderr is not None
        self.address = (await self.process.stderr.readline()).decode().strip()

    async def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def publishing(*backends: Any) -> AsyncIterator[None]:
    """Publish at each backend without a pause until the block ends."""

    async def publish(backend: Any) -> None:
        number = 0
        while not done.is_set():
            await backend.publish(*range(number, number + 2))
            number += 2
            await asyncio.sleep(0.002)

    done = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for backend in backends:
            tasks.create_task(publish(backend))
        try:
            yield
        finally:
            done.set()


def number(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])


async def everything(backend: Any, start: str) -> list[str]:
    """Return the cursors of all events after a start, once each is numbered."""
    async with asyncio.timeout(30):
        while await backend.rows("SELECT 1 FROM push_events WHERE seq IS NULL LIMIT 1"):
            await asyncio.sleep(0.01)
    rows = await backend.rows("SELECT seq FROM push_events WHERE seq > :start ORDER BY seq", start=number(start))
    return [start.replace(str(number(start)), str(seq)) for (seq,) in rows]


async def hear_the_rest(gateway: Any, backend: Any, start: str) -> list[str]:
    """Have a gateway receive what it has not received yet, and return all its events."""
    every = await everything(backend, start)
    async with gateway.subscribed(backend.address):
        await gateway.heard(len(every))
    return every


@pytest.mark.slow
async def test_every_gateway_hears_every_event_once(make_backend: Any, make_gateway: Any) -> None:
    """Through 50 cut connections and three killed backends, two gateways receive the same events once and in order."""
    drawn = random.Random(7)
    stays = await make_backend()
    beside = await make_backend(stays)
    killed = Killed(stays.booted.dsn)
    await killed.start()
    last = await stays.end()
    gateways = [make_gateway(f"gateway-{number}", cursor=last) for number in range(2)]

    async def wander(gateway: Any) -> None:
        for _ in range(CUTS // 2):
            address = drawn.choice([stays.address, beside.address, killed.address])
            try:
                async with gateway.subscribed(address):
                    await asyncio.sleep(drawn.uniform(0.0, 0.15))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE

    async def kill() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(drawn.uniform(0.2, 0.6))
            await killed.kill()
            await killed.start()

    try:
        async with publishing(stays, beside), asyncio.TaskGroup() as tasks:
            tasks.create_task(kill())
            for gateway in gateways:
                tasks.create_task(wander(gateway))
    finally:
        await killed.kill()
    for gateway in gateways:
        every = await hear_the_rest(gateway, stays, last)
        assert [event.cursor for event in gateway.events] == every
        assert not any(opening.resync_required for opening in gateway.openings)
    assert gateways[0].events == gateways[1].events
    written = {row[0] for row in await stays.rows("SELECT DISTINCT kind FROM push_events")}
    assert written == {"test.happened", "killed.wrote"}


@pytest.mark.slow
async def test_postgres_restarts_under_subscribers(make_backend: Any, gateway: Any) -> None:
    """Streams stay open while Postgres is down, and receive what is published once it is back."""
    with PostgresCluster() as cluster:
        backend = await make_backend(dsn=cluster.clone())
        async with gateway.subscribed(backend.address):
            await backend.publish(1)
            await gateway.heard(1)
            await asyncio.to_thread(cluster.server.stop_sync)
            code, sentence = await backend.refusal()
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "database" in sentence
            await asyncio.to_thread(cluster.server.start_sync)
            await backend.publish(2)
            await gateway.heard(2)
        assert gateway.numbers == [1, 2]
        assert len(gateway.openings) == 1
