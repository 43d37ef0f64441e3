"""A scripted backend behind real gRPC, a gateway's listener on a real socket, and clients of both transports."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp.web import BaseRequest
from opentelemetry.metrics import NoOpMeter
from push_backend import PushBackend, until
from sse_client import SseClient

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse, problem_response
from galaxy_chassis.http.server import HttpServer
from galaxy_gateway.callers import Caller
from galaxy_gateway.streams import Metrics, Streams, StreamSettings, websocket


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

    async def caught_up(self, backend: PushBackend) -> None:
        """Wait until the gateway has everything of a backend."""
        await until(lambda: self.hub.ring is not None and str(self.hub.ring.head) == backend.cursor())


@pytest.fixture
async def make_backend() -> AsyncIterator[Any]:
    """Return a function that starts a scripted backend."""
    made: list[PushBackend] = []

    async def make(**fields: Any) -> PushBackend:
        backend = PushBackend(**fields)
        made.append(backend)
        await backend.start()
        return backend

    yield make
    for backend in made:
        await backend.stop()


@pytest.fixture
async def backend(make_backend: Any) -> PushBackend:
    """Return a scripted backend that listens."""
    made: PushBackend = await make_backend()
    return made


@asynccontextmanager
async def gateway_at(*addresses: str, subscribed: bool = True, **settings: Any) -> AsyncIterator[Gateway]:
    """Yield a gateway that subscribes at these addresses."""
    clock, metrics = ManualClock(), Metrics(NoOpMeter("test"))
    streams = Streams(
        StreamSettings(**{"retry": timedelta(seconds=3), **settings}),
        token=PushBackend.token,
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
async def gateway(backend: PushBackend, make_gateway: Any) -> Gateway:
    """Return a gateway that is subscribed to the backend, with default settings."""
    made: Gateway = await make_gateway(backend.address)
    return made


@pytest.fixture
def bearer_prefix() -> str:
    """Return the prefix of the subprotocol with a token."""
    return websocket.BEARER
