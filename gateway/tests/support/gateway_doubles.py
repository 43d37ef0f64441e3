"""A backend that the test scripts, and a gateway before it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from galaxy_gateway.gateway import Gateway

TOKEN = "gateway-token-for-tests-0123456789"  # it opens only test servers
QUIET = {"GATEWAY_OTEL_TRACES_EXPORTER": "none", "GATEWAY_OTEL_METRICS_EXPORTER": "none"}
GOOD = "a-session-token-that-is-good"
ACCOUNT, SESSION = "0192aaaa-0000-7000-8000-000000000001", "0192aaaa-0000-7000-8000-000000000002"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedBackend:
    """A backend that keeps the requests it gets, and answers as the test says."""

    url: str = ""
    requests: list[tuple[web.Request, bytes]] = field(default_factory=list)
    """Those that were forwarded, with their bodies."""
    introspected: int = 0
    handler: Handler | None = None

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
        self.introspected += 1
        if request.headers.get("X-Gateway-Token") != TOKEN:
            return web.json_response({"code": "gateway_token_required"}, status=401)
        if (await request.json())["session_token"] != GOOD:
            return web.json_response({"active": False})
        return web.json_response({"active": True, "account_id": ACCOUNT, "session_id": SESSION, "expires_at": None})

    @property
    def last(self) -> web.Request:
        """The request that was forwarded last."""
        return self.requests[-1][0]


@asynccontextmanager
async def scripted_backend() -> AsyncIterator[ScriptedBackend]:
    """Run a backend on a free port."""
    backend = ScriptedBackend()
    application = web.Application(client_max_size=8 * 2**20)
    application.router.add_route("*", "/{rest:.*}", backend.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend.url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield backend
    finally:
        await runner.cleanup()


@dataclass
class Front:
    """A gateway, its backend, and a client of it."""

    gateway: Gateway
    backend: ScriptedBackend
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: object) -> tuple[int, aiohttp.ClientResponse, bytes]:
        """Make a request and read its answer."""
        async with self.client.request(method, path, **options) as answer:  # type: ignore[arg-type]
            return answer.status, answer, await answer.read()


Start = Callable[..., Awaitable[Front]]
