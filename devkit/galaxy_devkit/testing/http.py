"""Routes on a real socket, for tests: a server with fake authenticators, and a client for it."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from galaxy_contracts.access import ADMIN_AUTHENTICATOR, AUDIT_LOG, USER_AUTHENTICATOR, AdminIdentity, UserIdentity
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.http.access import AccessControl
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.service import HttpService

GATEWAY_TOKEN = "gateway-token-for-tests-0123456789"  # it opens only test servers
PLAYER = UserIdentity(uuid4(), uuid4(), datetime(2031, 1, 1, tzinfo=UTC))
OPERATOR = AdminIdentity(uuid4(), "olga")
SESSION = {"Authorization": "Bearer good-session"}
"""Headers of PLAYER."""
GATEWAY = {"X-Gateway-Token": GATEWAY_TOKEN}
"""Headers of the gateway."""
_PASSWORD = "pässword: with a colon"  # as above
OPERATOR_AUTH = {"Authorization": "Basic " + base64.b64encode(f"olga:{_PASSWORD}".encode()).decode()}
"""Headers of OPERATOR."""


class FakeUserAuthenticator:
    """Knows one session, PLAYER's."""

    def authenticate(self, token: str, *, client_address: str) -> UserIdentity | None:  # noqa: ARG002 # the contract's
        return PLAYER if token == "good-session" else None  # as above


class FakeAdminAuthenticator:
    """Knows one operator, OPERATOR."""

    async def authenticate(self, username: str, password: str, **call: str) -> AdminIdentity | None:  # noqa: ARG002 # the contract's
        return OPERATOR if (username, password) == ("olga", _PASSWORD) else None


class FakeAuditLog:
    """An `AuditLog` that keeps what is recorded, in order, in `lines`."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self._entries: set[UUID] = set()

    async def begin(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> UUID:
        self.lines.append(("begin", actor.username, action, dict(target), request_id))
        entry = uuid4()
        self._entries.add(entry)
        return entry

    async def read(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> None:
        self.lines.append(("read", actor.username, action, dict(target), request_id))

    async def finish(self, entry: UUID, outcome: str, status: int, target: Mapping[str, str]) -> None:
        self._entries.remove(entry)
        self.lines.append(("finish", outcome, status, *target.values()))


@dataclass(frozen=True)
class Received:
    """The response to a client's request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any
    """The document, None where the body is none."""

    @property
    def faults(self) -> dict[str, str]:
        """The faults of a problem document, message by field."""
        return {fault["field"]: fault["message"] for fault in self.json["errors"]}


class Api:
    """A server on a free port of the loopback, and a client for it."""

    def __init__(self, service: HttpService, services: CapabilityRegistry, audit: FakeAuditLog) -> None:
        self.service, self.server, self.services, self.audit = service, service.server, services, audit
        self.session = aiohttp.ClientSession(auto_decompress=False)

    async def __call__(self, method: str, path: str, **options: Any) -> Received:
        """Send a request; `options` are those of `aiohttp.ClientSession.request`."""
        async with self.session.request(method, f"http://{self.server.address}{path}", **options) as response:
            body = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            document = await response.json(content_type=None) if body and is_json else None
            return Received(response.status, response.headers, body, document)


Serve = Callable[..., Awaitable[Api]]
"""The fixture `serve`."""


@asynccontextmanager
async def serving(
    routes: Sequence[Route],
    *,
    plugin: str = "demo",
    closed: bool = False,
    proxies: Sequence[str] = (),
    admin_networks: Sequence[str] = (),
    **options: Any,
) -> AsyncIterator[Api]:
    """Serve a plugin's routes; `closed` leaves out every authenticator, `options` are HttpService's own."""
    services, audit = CapabilityRegistry(), FakeAuditLog()
    if not closed:
        services.offer("auth", USER_AUTHENTICATOR, FakeUserAuthenticator())
        services.offer("admin", ADMIN_AUTHENTICATOR, FakeAdminAuthenticator())
        services.offer("admin", AUDIT_LOG, audit)
    access = AccessControl(
        services,
        gateway_token=None if closed else GATEWAY_TOKEN,
        trusted_proxies=[ip_network(proxy) for proxy in proxies],
        admin_networks=[ip_network(network) for network in admin_networks],
    )
    service = HttpService("127.0.0.1:0", access=access, **options)
    await service.server.start()
    api = Api(service, services, audit)
    try:
        service.install([(plugin, route) for route in routes])
        yield api
    finally:
        await api.session.close()
        await service.server.close()


def make_route(
    handler: Callable[..., Awaitable[Any]],
    method: Any = "GET",
    path: str = "/api/v1/public/thing",
    *,
    access: Access | None = Access.PUBLIC,
    **options: Any,
) -> Route:
    """Make a route of a plugin `demo`, named after its handler."""
    values = {"name": f"demo.{getattr(handler, '__name__', 'thing')}", "summary": "Do a thing."} | options
    return Route(method, path, handler, access=access, **values)
