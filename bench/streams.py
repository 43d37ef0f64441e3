"""S-20: one event to 1,000 clients of server-sent events, and the memory of an idle stream.

*Events*: the gateway is `gateway serve`, fed by a push service that this process scripts. The rival is a bare aiohttp
server on uvloop that writes the same bytes to 1,000 `StreamResponse`s. The clients are this process: an event is sent
when all of them have the one before. The figure is deliveries for a second of the server's CPU, the
gateway's gRPC threads included, since the clients share the machine.

*Idle*: how much the resident memory of the gateway grows by a stream. 20,000 of them in 1 GB are 50 kB for each.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, cast

import grpc.aio
from aiohttp import ClientSession, web

from bench.process import cpu_seconds, free_port, serving
from bench.rounds import Figure, Values, interleave
from bench.serve import Served
from galaxy_chassis.http.connections import raise_descriptor_limit
from galaxy_contracts.proto.push_pb2 import Event, Frame, Opening, SubscribeRequest
from galaxy_gateway.streams.messages import server_sent

CLIENTS = 1_000
PATH = "/api/v1/user/events"
_ACCOUNT = "00000000-0000-7000-8000-000000000001"
_KIND, _PAYLOAD = "game.turn_ready", f'{{"game_id":"{_ACCOUNT}","turn":17,"next_turn_at":"2030-01-01T00:00:00Z"}}'
_TOKEN = "a-gateway-token-for-the-bench-32-bytes"
_WARM = 20
"""Events, and streams, that do not count."""
_AT_ONCE = 100
"""Streams that are opened at the same time."""


async def measure(*, quick: bool) -> list[Figure]:
    """Send 500 events in each round and open 5,000 idle streams; 50 and 1,000 when quick."""
    events, streams, rounds = (50, 1_000, 2) if quick else (500, 5_000, 5)
    raise_descriptor_limit()
    taken = await interleave(rounds, ours=partial(_sent, _ours, events), bare=partial(_sent, _bare, events))
    idle = [await _idle(streams) for _ in range(1 if quick else 3)]
    size = sorted(idle)[len(idle) // 2]
    what, bare = f"one event to {CLIENTS:,} SSE clients", "bare aiohttp"
    return [
        taken.figure("S-20", f"{what}, by server CPU", "/CPU s", "by_cpu", against="bare", named=bare, goal=0.7),
        taken.figure("-", what, "/s", "rate", against="bare", named=bare),
        Figure(
            "S-20", "memory of an idle stream", "kB", size, goal=50.0, rounds=len(idle), note=f"{streams:,} streams"
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Side:
    """A server, and how to have it send event number `n`."""

    served: Served
    publish: Callable[[int], Awaitable[None]]


class _Clients:
    """Streams, and how many blocks they have had in all."""

    def __init__(self) -> None:
        self._all: list[_Client] = []
        self._blocks = self._wanted = 0
        self._reached = asyncio.Event()

    async def open(self, port: int, number: int) -> None:
        """Open more, some at a time, each past its first block."""
        connect = partial(asyncio.get_running_loop().create_connection, lambda: _Client(self), "127.0.0.1", port)
        for _ in range(0, number, _AT_ONCE):
            wanted = self._wanted + _AT_ONCE
            self._all += [client for _, client in await asyncio.gather(*(connect() for _ in range(_AT_ONCE)))]
            await self._until(wanted)

    async def heard_one_more(self) -> None:
        """Wait until each has one more block."""
        await self._until(self._wanted + len(self._all))

    async def _until(self, wanted: int) -> None:
        self._wanted = wanted
        self._reached.clear()
        async with asyncio.timeout(60):
            if self._blocks < wanted:
                await self._reached.wait()

    def count(self, blocks: int) -> None:
        """Count blocks."""
        self._blocks += blocks
        if self._blocks >= self._wanted:
            self._reached.set()

    def close(self) -> None:
        """Leave."""
        for client in self._all:
            client.transport.abort()


class _Client(asyncio.Protocol):
    """Reads a stream, and counts its blocks."""

    def __init__(self, clients: _Clients) -> None:
        self._clients, self._rest = clients, b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        head = f"GET {PATH} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {_TOKEN}\r\n\r\n"
        self.transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        self._clients.count(data.count(b"\n\n") - data.count(b":\nid"))  # without heartbeats
        self._rest = b"" if data.endswith(b"\n\n") else data[-2:]


async def _sent(side: Callable[[], AbstractAsyncContextManager[_Side]], events: int) -> Values:
    clients = _Clients()
    async with side() as server:
        await clients.open(server.served.port, CLIENTS)
        for n in range(1, _WARM + 1):
            await server.publish(n)
            await clients.heard_one_more()
        started, used = perf_counter(), cpu_seconds(server.served.pid)
        for n in range(_WARM + 1, _WARM + events + 1):
            await server.publish(n)
            await clients.heard_one_more()
        took, used = perf_counter() - started, cpu_seconds(server.served.pid) - used
        clients.close()
    return {"rate": events * CLIENTS / took, "by_cpu": events * CLIENTS / used}


async def _idle(streams: int) -> float:
    """Return by how many kilobytes a stream the gateway grows."""
    clients = _Clients()
    async with _ours() as server:
        await clients.open(server.served.port, _AT_ONCE)
        before = server.served.resident
        await clients.open(server.served.port, streams)
        size = (server.served.resident - before) * 1000 / streams
        clients.close()
    return size


@asynccontextmanager
async def _ours() -> AsyncIterator[_Side]:
    events: asyncio.Queue[Event] = asyncio.Queue()
    port = free_port()
    async with _push(events) as push, _introspection() as backend:
        environment = {
            "PATH": os.environ["PATH"],
            "GATEWAY_LISTEN_ADDR": f"127.0.0.1:{port}",
            "GATEWAY_BACKEND_URL": f"http://127.0.0.1:{backend}",
            "GATEWAY_PUSH_ADDR": f"127.0.0.1:{push}",
            "GATEWAY_TOKEN": _TOKEN,
            "GATEWAY_MAX_CONNECTIONS_PER_CLIENT": "100000",
            "GATEWAY_LIMIT_ADDRESS": "1000000",
            "GATEWAY_LIMIT_ACCOUNT": "1000000",
            "GATEWAY_STREAM_PER_ACCOUNT": "0",
            "GATEWAY_STREAM_PER_ADDRESS": "0",
            "GATEWAY_SHUTDOWN_TIMEOUT": "1s",
            "GATEWAY_OTEL_TRACES_EXPORTER": "none",
            "GATEWAY_OTEL_METRICS_EXPORTER": "none",
        }

        async def publish(n: int) -> None:
            await events.put(Event(cursor=f"g1-{n}", account_id=_ACCOUNT, kind=_KIND, payload=_PAYLOAD))

        command = (sys.executable, "-m", "galaxy_gateway", "serve")
        async with serving(*command, environment=environment, port=port) as process:
            await _subscribed(port)
            yield _Side(Served(process.pid, port, 0.0), publish)


@asynccontextmanager
async def _push(events: asyncio.Queue[Event]) -> AsyncIterator[int]:
    """Run a push service whose only subscriber gets what is put into the queue; the block gets its port."""

    async def subscribe(_request: SubscribeRequest, context: Any) -> None:
        await context.write(Frame(opening=Opening(cursor="g1-0")))
        while True:
            await context.write(Frame(events=[await events.get()]))

    handler = grpc.unary_stream_rpc_method_handler(
        subscribe,
        request_deserializer=SubscribeRequest.FromString,
        response_serializer=Frame.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("galaxy.push.v1.Push", {"Subscribe": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0.1)


@asynccontextmanager
async def _introspection() -> AsyncIterator[int]:
    """Run a backend to which every token is good; the block gets its port."""

    async def introspect(_: web.BaseRequest) -> web.Response:
        return web.json_response({"active": True, "account_id": _ACCOUNT, "session_id": _ACCOUNT, "expires_at": None})

    runner = web.ServerRunner(web.Server(introspect), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _subscribed(port: int) -> None:
    async with asyncio.timeout(60), ClientSession(f"http://127.0.0.1:{port}") as client:
        while True:
            async with client.get("/readyz") as answer:
                states = {check["name"]: check["state"] for check in (await answer.json())["checks"]}
            if states["live_events"] == "ok":
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _bare() -> AsyncIterator[_Side]:
    port = free_port()
    async with (
        serving(sys.executable, "-m", "bench.streams", str(port), port=port) as process,
        ClientSession(f"http://127.0.0.1:{port}") as client,
    ):

        async def publish(n: int) -> None:
            async with client.post("/", data=server_sent(f"g1-{n}", _KIND, _PAYLOAD)) as answer:
                answer.raise_for_status()

        yield _Side(Served(process.pid, port, 0.0), publish)


async def _serve_bare(port: int) -> None:
    """Write what is posted to every stream."""
    streams: list[web.StreamResponse] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            event = await request.read()
            for each in streams:
                await each.write(event)
            return web.Response()
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"retry: 3000\nid: g1-0\n\n")
        streams.append(stream)
        await asyncio.Event().wait()
        return stream

    runner = web.ServerRunner(web.Server(handle), handle_signals=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve_bare(int(sys.argv[1])))
