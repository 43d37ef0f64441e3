"""A scripted backend behind real gRPC, a gateway's listener on a real socket, and clients of both transports."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from aiohttp.web import BaseRequest
from opentelemetry.metrics import NoOpMeter

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse, problem_response
from galaxy_chassis.http.server import HttpServer
from galaxy_contracts.proto.push_pb2 import (
    Event,
    Frame,
    Opening,
    ReplayRequest,
    ReplayResponse,
    SubscribeRequest,
)
from galaxy_gateway.callers import Caller
from galaxy_gateway.streams import Metrics, Streams, StreamSettings, websocket

TOKEN = "gateway-token-of-the-tests-0123456789"
SERVICE = "galaxy.push.v1.Push"


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for a condition that background work brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # there is no event for it
            await asyncio.sleep(0.005)


@dataclass
class ScriptedBackend:
    """The push service over a list of events, with what a test does to it."""

    generation: str = "g1"
    events: list[Event] = field(default_factory=list)
    last: int = 0
    trimmed: int = 0
    """Events up to this number are gone."""
    page: int = 1000
    """Most events in an answer of Replay."""
    subscriptions: list[str] = field(default_factory=list)
    """The cursor of each subscription."""
    replays: list[ReplayRequest] = field(default_factory=list)
    replay_codes: list[grpc.StatusCode] = field(default_factory=list)
    """What the next calls of Replay fail with."""
    before_replay: Callable[[], Any] | None = None
    """Called in the middle of each Replay."""
    replaying: int = 0
    most_replaying: int = 0
    open: int = 0
    address: str = ""
    credentials: Any = None
    """What secures its listener, if anything does."""
    _server: Any = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def cursor(self, number: int | None = None) -> str:
        """Return a cursor of this generation: that of a number, or the last one."""
        return f"{self.generation}-{self.last if number is None else number}"

    async def publish(self, *numbers: int, **fields: Any) -> None:
        """Add events with these `n` in their payloads."""
        target = {} if "session_id" in fields else {"account_id": "alice"}
        for n in numbers:
            self.last += 1
            made = {"kind": "test.happened", "payload": json.dumps({"n": n}), **target, **fields}
            self.events.append(Event(cursor=self.cursor(), **made))
        async with self._changed:
            self._changed.notify_all()

    async def revoke(self, session_id: str) -> None:
        """Add the event that a session has ended."""
        await self.publish(0, kind="session.revoked", session_id=session_id)

    def restore(self, generation: str) -> None:
        """Become another generation, as a restored database is, with no events."""
        self.generation, self.events, self.trimmed = generation, [], self.last

    async def start(self) -> None:
        """Listen, at the same address as before if there was one."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handlers = {
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                self._subscribe,
                request_deserializer=SubscribeRequest.FromString,
                response_serializer=Frame.SerializeToString,
            ),
            "Replay": grpc.unary_unary_rpc_method_handler(
                self._replay,
                request_deserializer=ReplayRequest.FromString,
                response_serializer=ReplayResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        where = self.address or "127.0.0.1:0"
        if self.credentials is None:
            port = server.add_insecure_port(where)
        else:
            port = server.add_secure_port(where, self.credentials)
        await server.start()
        self._server, self.address = server, f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Close the listener and every call."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def _after(self, number: int) -> list[Event]:
        return [event for event in self.events if _number(event.cursor) > number]

    async def _subscribe(self, request: SubscribeRequest, context: Any) -> None:
        if dict(context.invocation_metadata()).get("x-gateway-token") != TOKEN:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        self.subscriptions.append(request.cursor)
        generation, _, number = request.cursor.rpartition("-")
        position = int(number) if number else self.last
        resync = bool(number) and (generation != self.generation or not self.trimmed <= position <= self.last)
        position = self.last if resync else position
        generation = self.generation
        self.open += 1
        try:
            await context.write(Frame(opening=Opening(cursor=self.cursor(position), resync_required=resync)))
            while True:
                async with self._changed:
                    await self._changed.wait_for(
                        lambda seen=position: self.last > seen or self.generation != generation
                    )
                if self.generation != generation:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "restored")
                batch = self._after(position)[:64]
                position = self.last if not batch else _number(batch[-1].cursor)
                if batch:
                    await context.write(Frame(events=batch))
        finally:
            self.open -= 1

    async def _replay(self, request: ReplayRequest, context: Any) -> ReplayResponse:
        self.replays.append(request)
        self.replaying += 1
        self.most_replaying = max(self.most_replaying, self.replaying)
        try:
            await asyncio.sleep(0)
            if self.before_replay is not None:
                await self.before_replay()
            if self.replay_codes:
                await context.abort(self.replay_codes.pop(0), "as scripted")
            return self._page(request)
        finally:
            self.replaying -= 1

    def _page(self, request: ReplayRequest) -> ReplayResponse:
        generation, _, number = request.after.rpartition("-")
        if generation != self.generation or int(number) < self.trimmed:
            return ReplayResponse(resync_required=True)
        up_to = _number(request.up_to)
        own = [
            event
            for event in self._after(int(number))
            if _number(event.cursor) <= up_to
            and (event.account_id or event.session_id) in (request.account_id, request.session_id)
        ]
        limit = min(request.limit, self.page)
        return ReplayResponse(events=own[:limit], more=len(own) > limit)


def _number(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])


@dataclass
class SseClient:
    """A client of server-sent events that keeps what it has read."""

    response: Any
    blocks: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False
    _task: Any = None

    def listen(self) -> None:
        """Read in the background."""
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        rest = ""
        try:
            async for data in self.response.content.iter_any():
                *blocks, rest = (rest + data.decode()).split("\n\n")
                for block in blocks:
                    self.blocks.append(dict(line.split(":", 1) for line in block.split("\n")))
        except aiohttp.ClientError:
            pass
        self.ended = True

    @property
    def events(self) -> list[dict[str, str]]:
        """What a browser would dispatch."""
        return [{name: value.strip() for name, value in block.items()} for block in self.blocks if "data" in block]

    @property
    def numbers(self) -> list[int]:
        """The `n` of each event that has one."""
        return [n for event in self.events if (n := json.loads(event["data"]).get("n")) is not None]

    @property
    def kinds(self) -> list[str]:
        """The kind of each event."""
        return [event["event"] for event in self.events]

    @property
    def last_id(self) -> str:
        """The id that a browser would send when it connects again."""
        return next((block["id"].strip() for block in reversed(self.blocks) if "id" in block), "")

    def close(self) -> None:
        """Leave."""
        self.response.close()
        if self._task is not None:
            self._task.cancel()

    until = staticmethod(until)

    async def heard(self, number: int) -> None:
        """Wait until it has so many events."""
        await until(lambda: len(self.events) >= number)


@dataclass
class Gateway:
    """A listener that serves streams, and its clients."""

    streams: Streams
    clock: ManualClock
    metrics: Metrics
    address: str
    session: aiohttp.ClientSession
    expires_at: Any = None
    """When the sessions of the next callers end."""
    clients: list[SseClient] = field(default_factory=list)
    until = staticmethod(until)

    @property
    def hub(self) -> Any:
        """Its hub, to inspect."""
        return self.streams._hub

    @property
    def count(self) -> int:
        """Open streams."""
        return len(self.hub)

    async def live(self, number: int) -> None:
        """Wait until so many streams are up to date."""
        await until(lambda: sum(stream.live for stream in self.hub._streams) == number)

    async def ask(self, account: str = "alice", session: str = "s1", last: str | None = None, **headers: str) -> Any:
        """Ask for events, and return the response."""
        sent = {"X-Account": account, "X-Session": session, **headers}
        if last is not None:
            sent["Last-Event-ID"] = last
        return await self.session.get(f"http://{self.address}/events", headers=sent)

    async def open(self, account: str = "alice", session: str = "s1", last: str | None = None) -> SseClient:
        """Open a stream and read it in the background."""
        response = await self.ask(account, session, last)
        assert response.status == 200, await response.text()
        client = SseClient(response)
        client.listen()
        self.clients.append(client)
        return client

    async def connect(
        self, account: str = "alice", session: str = "s1", protocols: Any = ("galaxy.events.v1",), **more: Any
    ) -> Any:
        """Open a WebSocket."""
        headers = {"X-Account": account, "X-Session": session, **more.pop("headers", {})}
        return await self.session.ws_connect(f"http://{self.address}/ws", headers=headers, protocols=protocols, **more)

    async def caught_up(self, backend: ScriptedBackend) -> None:
        """Wait until the gateway has everything of a backend."""
        await until(lambda: self.hub.ring is not None and str(self.hub.ring.head) == backend.cursor())


@pytest.fixture
async def make_backend() -> AsyncIterator[Any]:
    """Return a function that starts a scripted backend."""
    made: list[ScriptedBackend] = []

    async def make(**fields: Any) -> ScriptedBackend:
        backend = ScriptedBackend(**fields)
        made.append(backend)
        await backend.start()
        return backend

    yield make
    for backend in made:
        await backend.stop()


@pytest.fixture
async def backend(make_backend: Any) -> ScriptedBackend:
    """Return a scripted backend that listens."""
    made: ScriptedBackend = await make_backend()
    return made


@asynccontextmanager
async def gateway_at(*addresses: str, subscribed: bool = True, **settings: Any) -> AsyncIterator[Gateway]:
    """Yield a gateway that subscribes at these addresses."""
    clock, metrics = ManualClock(), Metrics(NoOpMeter("test"))
    streams = Streams(
        StreamSettings(**{"retry": timedelta(seconds=3), **settings}),
        token=TOKEN,
        push_addresses=addresses,
        clock=clock,
        random=random.Random(7),
        metrics=metrics,
    )

    async def handle(request: BaseRequest) -> AnyResponse:
        headers = request.headers
        caller = Caller(headers.get("X-Account", ""), headers.get("X-Session", ""), gateway.expires_at)
        try:
            if request.path == "/ws":
                return await streams.serve_websocket(
                    request,
                    caller,
                    "request-0001",
                    {"X-More": "1"},
                    origin_allowed=lambda origin: origin == "https://good.example",
                    address=headers.get("X-Address"),
                )
            return await streams.serve_sse(
                request, caller, "request-0001", {"X-More": "1"}, address=headers.get("X-Address")
            )
        except Problem as problem:
            return problem_response(problem, "request-0001")

    server = HttpServer("127.0.0.1:0", handle, variable="GATEWAY_LISTEN_ADDR")
    await server.start()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))
    gateway = Gateway(streams, clock, metrics, server.address, session)
    try:
        async with streams, session:
            if subscribed:
                await until(lambda: streams.subscribed)
            yield gateway
            for client in gateway.clients:
                client.close()
            await streams.drain(5)
    finally:
        await server.close()


@pytest.fixture
async def make_gateway() -> AsyncIterator[Any]:
    """Return a function that starts a gateway; several may run."""
    async with AsyncExitStack() as stack:

        async def make(*addresses: str, **settings: Any) -> Gateway:
            return await stack.enter_async_context(gateway_at(*addresses, **settings))

        yield make


@pytest.fixture
async def gateway(backend: ScriptedBackend, make_gateway: Any) -> Gateway:
    """Return a gateway that is subscribed to the backend, with default settings."""
    made: Gateway = await make_gateway(backend.address)
    return made


@pytest.fixture
def bearer_prefix() -> str:
    """Return the prefix of the subprotocol with a token."""
    return websocket.BEARER
