"""S-6: events to gateways, under a backlog to 100 of them and, when nothing else goes on, to one.

*Backlog*: events lie published in the table; the time counts from when the reader begins to number and read them until
the last of 100 subscribers, each on a connection of its own, has got the last one. The rival is the same backend with
frames of one event. The subscribers are one process, the backend is another; the events for a second of the *backend's*
CPU are shown as well, for they depend neither on the subscribers nor on other load.

*Idle*: one event at a time, from when it is handed to the hub until the gateway's process has it. The rival is a plain
TCP connection between the same two processes, on uvloop, that carries as many bytes in turn with the events: to the
other side, and there and back. Both ends read the machine's monotonic clock. The time from `publish` on, with the
COMMIT, the numbering and the reading, is shown separately.
"""

import asyncio
import json
import statistics
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import grpc.aio
from opentelemetry.metrics import NoOpMeter

from bench import postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave
from galaxy_chassis.clock import SystemClock
from galaxy_chassis.logs import configure_logging, get_logger
from galaxy_contracts.proto.push_pb2 import Frame, SubscribeRequest
from galaxy_contracts.push import PUSH, PushEvent
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.kernel import Kernel
from galaxy_kernel.database import Database
from galaxy_kernel.rpc.server import RpcServer
from galaxy_push import frames, rpc
from galaxy_push.domain import StoredEvent
from galaxy_push.hub import Hub
from galaxy_push.metrics import Metrics
from galaxy_push.plugin import PushPlugin
from galaxy_push.replays import Replays
from galaxy_push.service import PushService
from galaxy_push.settings import PushSettings
from galaxy_push.workers import Reader

SUBSCRIBERS = 100
TOKEN = "a gateway token for measures, of 32 bytes"
ACCOUNT = UUID("00000000-0000-7000-8000-000000000001")
PAUSE = 0.005
"""Seconds between two events of the idle measure."""
_WARM = 50
"""Events of the idle measure that do not count."""
_METHOD = "/galaxy.push.v1.Push/Subscribe"


async def measure(*, quick: bool) -> list[Figure]:
    """Send 2,000 events to each subscriber, 500 when quick; then 1,000, or 300, one by one."""
    backlog, single, rounds = (500, 300, 2) if quick else (2_000, 1_000, 5)
    async with postgres.migrated(PushPlugin) as dsn:
        sides: dict[str, Run] = {
            "one a message": partial(alone, "bench.push:backlog", dsn=dsn, events=backlog, in_frame=1),
            "ours": partial(alone, "bench.push:backlog", dsn=dsn, events=backlog, in_frame=frames.MAX_EVENTS),
        }
        full = await interleave(rounds, **sides)
        idle = await interleave(
            rounds,
            ours=partial(alone, "bench.push:idle", dsn=dsn, events=single),
            published=partial(alone, "bench.push:published", dsn=dsn, events=single),
        )
    what = f"push to {SUBSCRIBERS} subscribers"
    against = "one a message"

    def times(goal_id: str, measure: str, rival: str, goal: float | None) -> Figure:
        value = statistics.median(each["p99"] / each[rival] for each in idle.sides["ours"])
        note = f"p99 of the rival: {idle.median('ours', rival):.2f} ms"
        return Figure(goal_id, measure, "times", value, goal=goal, rounds=rounds, note=note)

    return [
        full.figure("S-6", what, "events/s", "rate", against=against, goal=8.0),
        full.figure("-", f"{what}, by backend CPU", "/CPU s", "by_cpu", against=against),
        times("S-6", "idle push, p99 in that of a raw TCP echo", "echo_p99", 2.0),
        times("-", "idle push, p99 in that of raw TCP one way", "tcp_p99", None),
        idle.figure("-", "idle push, p50", "ms", "p50"),
        idle.figure("-", "idle push, p99", "ms", "p99"),
        idle.figure("-", "raw TCP one way, p50", "ms", "tcp_p50"),
        idle.figure("-", "raw TCP echo, p50", "ms", "echo_p50"),
        idle.figure("-", "publish to gateway, p50", "ms", "p50", ours="published"),
        idle.figure("-", "publish to gateway, p99", "ms", "p99", ours="published"),
    ]


class _Backend:
    """The parts of the plugin, put together by hand, on a listener of the kernel."""

    def __init__(self, database: Database) -> None:
        self.database, self.metrics, self.clock = database, Metrics(NoOpMeter("bench")), SystemClock()
        self.hub = Hub(self.clock.monotonic)
        log = get_logger("galaxy_push", plugin="push")
        self.reader = Reader(database, self.hub, self.clock, self.metrics, log)
        settings = PushSettings(max_lag=1_000_000)
        service = rpc.service(
            rpc.Subscriptions(database, self.hub, settings, self.metrics, log), Replays(database, self.metrics)
        )
        self.server = RpcServer("127.0.0.1:0", token=TOKEN, services=[("push", service)])


@asynccontextmanager
async def _backend(dsn: str) -> AsyncIterator[_Backend]:
    configure_logging("info")
    async with postgres.opened(dsn) as database:
        backend = _Backend(database)
        await backend.reader.run()
        await backend.server.start()
        try:
            yield backend
        finally:
            await backend.server.stop(1)


async def _joined(backend: _Backend, subscribers: asyncio.Task[Any], number: int) -> None:
    """Wait until so many have subscribed; raise what ended them before."""
    while backend.metrics.subscribers < number:
        if subscribers.done():
            subscribers.result()
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)  # for the last openings


async def backlog(dsn: str, events: int, in_frame: int) -> Values:
    """Send a backlog to all subscribers."""
    frames.MAX_EVENTS = in_frame
    await postgres.run(dsn, "TRUNCATE push_events", "UPDATE push_state SET trimmed_seq = last_seq", "CHECKPOINT")
    async with _backend(dsn) as backend:
        address = backend.server.address
        listening = asyncio.create_task(alone("bench.push:listen", address=address, events=events, n=SUBSCRIBERS))
        await _joined(backend, listening, SUBSCRIBERS)
        async with backend.database.transaction() as connection:
            made = [PushEvent(kind="game.turn_ready", account_id=ACCOUNT, payload=_payload(n)) for n in range(events)]
            await PushService(lambda _: None).publish(connection, made)
        started, used = time.monotonic(), time.process_time()
        while await backend.reader.run():
            pass
        ended: float = await listening
        used = time.process_time() - used
    delivered = events * SUBSCRIBERS
    return {"rate": delivered / (ended - started), "by_cpu": delivered / used}


def _payload(number: int) -> dict[str, object]:
    return {"game_id": str(ACCOUNT), "turn": number, "next_turn_at": "2030-01-01T00:00:00Z"}


@asynccontextmanager
async def _subscribed(address: str) -> AsyncIterator[grpc.aio.UnaryStreamCall]:
    """Subscribe on a connection of its own, past the opening."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        method = channel.unary_stream(_METHOD, request_serializer=SubscribeRequest.SerializeToString)
        call = method(SubscribeRequest(gateway_id="bench"), metadata=(("x-gateway-token", TOKEN),))
        await call.read()
        yield call


async def listen(address: str, events: int, n: int) -> float:
    """Have `n` subscribers receive so many events; return when the last one had them all."""

    async def hear() -> None:
        heard = 0
        async with _subscribed(address) as call:
            while heard < events:
                heard += len(Frame.FromString(await call.read()).events)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(n):
            tasks.create_task(hear())
    return time.monotonic()


async def idle(dsn: str, events: int) -> Values:
    """Add events to the hub one by one, alternating with as many bytes to a TCP connection."""
    sample = StoredEvent(2**50, ACCOUNT, None, "bench.happened", json.dumps({"at": 12345.678901}), "bench-request")
    there = _There(len(frames.encode(sample, "0" * 12)))
    server = await asyncio.get_running_loop().create_server(lambda: there, "127.0.0.1", 0)
    async with _backend(dsn) as backend, server:
        ports = {"address": backend.server.address, "port": server.sockets[0].getsockname()[1], "size": there.size}
        hearing = asyncio.create_task(alone("bench.push:hear_both", **ports, events=events + _WARM))
        await _joined(backend, hearing, 1)
        head = cast("int", backend.hub.head)
        for number in range(1, events + _WARM + 1):
            payload = json.dumps({"at": time.monotonic()})
            backend.hub.add([StoredEvent(head + number, ACCOUNT, None, "bench.happened", payload, "bench-request")])
            await asyncio.sleep(PAUSE)
            there.send()
            await asyncio.sleep(PAUSE)
        heard: dict[str, list[float]] = await hearing
    sides = {"": heard["push"], "tcp_": heard["tcp"], "echo_": there.ages}
    return {f"{side}{name}": value for side, ages in sides.items() for name, value in _quantiles(ages).items()}


async def published(dsn: str, events: int) -> Values:
    """Publish events one by one, in a complete kernel with the plugin."""
    configure_logging("info")
    environment = {**postgres.ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn, "BACKEND_GATEWAY_TOKEN": TOKEN}
    environment |= {"BACKEND_HTTP_LISTEN_ADDR": "127.0.0.1:0", "BACKEND_PUSH_LISTEN_ADDR": "127.0.0.1:0"}
    kernel = Kernel(assemble(environment, discovery=from_classes(PushPlugin)))
    async with kernel.running():
        push = kernel.services.require(PUSH, asked_by="the measure")
        address = cast("RpcServer", kernel.rpc).address
        hearing = asyncio.create_task(alone("bench.push:hear", address=address, events=events + _WARM))
        while not hearing.done():  # events before the opening are not received
            event = PushEvent(kind="bench.happened", account_id=ACCOUNT, payload={"at": time.monotonic()})
            async with kernel.database.transaction() as connection:
                await push.publish(connection, [event])
            await asyncio.sleep(2 * PAUSE)
        return _quantiles(await hearing)


async def hear(address: str, events: int) -> list[float]:
    """Subscribe, and return how old each event was when it came, in seconds."""
    ages: list[float] = []
    async with _subscribed(address) as call:
        while len(ages) < events:
            encoded = await call.read()
            now = time.monotonic()
            ages += [now - json.loads(event.payload)["at"] for event in Frame.FromString(encoded).events]
    return ages


async def hear_both(address: str, events: int, port: int, size: int) -> dict[str, list[float]]:
    """Receive events and the bytes of a TCP connection, which are sent back at once."""
    back = _Back(size)
    await asyncio.get_running_loop().create_connection(lambda: back, "127.0.0.1", port)
    ages = await hear(address, events)
    await back.heard(events)
    return {"push": ages, "tcp": back.ages}


class _There(asyncio.Protocol):
    """Sends stamped messages, and records their age when they come back."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ages: list[float] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        self.transport.write(struct.pack("d", time.monotonic()) + bytes(self.size - 8))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.ages += [now - struct.unpack_from("d", data, at)[0] for at in range(0, len(data), self.size)]


class _Back(_There):
    """The other end."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._news = asyncio.Event()

    async def heard(self, number: int) -> None:
        """Wait until so many messages have come."""
        while len(self.ages) < number:
            self._news.clear()
            await self._news.wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)
        self._news.set()


def _quantiles(ages: list[float]) -> Values:
    hundredths = statistics.quantiles([1000 * age for age in ages[_WARM:]], n=100, method="inclusive")
    return {"p50": hundredths[49], "p99": hundredths[98]}
