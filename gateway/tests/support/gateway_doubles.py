"""A backend that the test scripts, and a gateway before it."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from push_backend import until
from sse_client import SseClient
from yarl import URL

from galaxy_gateway.gateway import Gateway

TOKEN = "gateway-token-for-tests-0123456789"  # it opens only test servers
QUIET = {"GATEWAY_OTEL_TRACES_EXPORTER": "none", "GATEWAY_OTEL_METRICS_EXPORTER": "none"}
GOOD = "a-session-token-that-is-good"
AS_USER = {"Authorization": f"Bearer {GOOD}"}
ACCOUNT, SESSION = "0192aaaa-0000-7000-8000-000000000001", "0192aaaa-0000-7000-8000-000000000002"
PUBLIC, GAMES, EVENTS = "/api/v1/public/things", "/api/v1/user/games", "/api/v1/user/events"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedBackend:
    """A backend that keeps the requests it gets, and answers as the test says."""

    url: str = ""
    """Where it listens, the same after each start: `http://…`, or what the test says, `unix:///path` or `https://…`."""
    tls: ssl.SSLContext | None = None
    """What it shows to callers of `https://…`."""
    requests: list[tuple[web.Request, bytes]] = field(default_factory=list)
    """Those that were forwarded, with their bodies."""
    introspected: int = 0
    """Calls with a token: the check of the backend has none."""
    handler: Handler | None = None
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        application = web.Application(client_max_size=8 * 2**20)
        application.router.add_route("*", "/{rest:.*}", self.answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        where = URL(self.url or "http://127.0.0.1:0")
        if where.scheme == "unix":
            await web.UnixSite(self._runner, where.path).start()
            return
        await web.TCPSite(self._runner, "127.0.0.1", where.port, ssl_context=self.tls, reuse_address=True).start()
        self.url = str(where.with_port(self._runner.addresses[0][1]))

    async def kill(self) -> None:
        """Stop listening and cut every connection, as the death of its process does."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in tuple(runner.sites):
            await site.stop()
        for connection in runner.server.connections if runner.server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/api/v1/internal/"):
            return await self._introspect(request)
        self.requests.append((request, await request.read()))
        if self.handler is not None:
            return await self.handler(request)
        return web.json_response(
            {"path": request.raw_path, "method": request.method}, headers={"X-Request-Id": "theirs"}
        )

    async def _introspect(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Gateway-Token") != TOKEN:
            return web.json_response({"code": "gateway_token_required"}, status=401)
        token = (await request.json())["session_token"]
        self.introspected += bool(token)
        if token != GOOD:
            return web.json_response({"active": False})
        return web.json_response({"active": True, "account_id": ACCOUNT, "session_id": SESSION, "expires_at": None})

    @property
    def last(self) -> web.Request:
        """The request that was forwarded last."""
        return self.requests[-1][0]


@asynccontextmanager
async def scripted_backend(url: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedBackend]:
    """Run a backend, on a free port unless `url` says where."""
    backend = ScriptedBackend(url, tls)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.kill()


@dataclass
class Front:
    """A gateway, its backend, and a client of it."""

    gateway: Gateway
    backend: ScriptedBackend
    client: aiohttp.ClientSession

    async def checks(self) -> tuple[int, dict[str, str]]:
        """Return the status of `/readyz`, and the state of each check, asked now."""
        self.gateway.probes.forget()
        status, _, body = await self.ask("GET", "/readyz")
        return status, {check["name"]: check["state"] for check in json.loads(body)["checks"]}

    async def listen(self, **headers: str) -> SseClient:
        """Open a stream of live events, past its first block, and read it in the background."""
        answer = await self.client.get(EVENTS, headers=AS_USER | headers)
        assert answer.status == 200, await answer.text()
        client = SseClient(answer)
        client.listen()
        await until(lambda: client.blocks)
        return client

    async def ask(self, method: str, path: str, **options: object) -> tuple[int, aiohttp.ClientResponse, bytes]:
        """Make a request and read its answer."""
        async with self.client.request(method, path, **options) as answer:  # type: ignore[arg-type]
            return answer.status, answer, await answer.read()


Start = Callable[..., Awaitable[Front]]
