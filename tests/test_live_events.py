"""Live events from a real backend to clients of gateways: sign-in to revocation, resuming, and kill -9."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp.web import BaseRequest
from full_backend import Mailbox, Served, sign_in
from opentelemetry.metrics import NoOpMeter
from sqlalchemy import text

from galaxy_chassis.clock import SystemClock
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse, problem_response
from galaxy_chassis.http.server import HttpServer
from galaxy_devkit.testing import GATEWAY_TOKEN, Booted
from galaxy_gateway.callers import Caller
from galaxy_gateway.streams import Metrics, Streams, StreamSettings
from galaxy_kernel.api import Database
from galaxy_kernel.database import make_engine, schema_of

Identify = Callable[[BaseRequest], Any]


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for a condition that background work brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Client:
    """A client that follows the stream as a browser does, and connects again with its last id when it ends."""

    def __init__(self, address: str, headers: dict[str, str], last_id: str = "") -> None:
        self.address, self._headers, self.last_id = address, headers, last_id
        self.events: list[tuple[str, str, Any]] = []
        """Id, kind and payload of each event."""
        self.connections: list[int] = []
        """The status of each connection."""
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            while 401 not in self.connections:
                headers = self._headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
                try:
                    async with session.get(f"http://{self.address}/", headers=headers) as response:
                        self.connections.append(response.status)
                        await self._read(response)
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.02)

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        rest = ""
        async for data in response.content.iter_any():
            *blocks, rest = (rest + data.decode()).split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    self.events.append((fields["id"], fields["event"], json.loads(fields["data"])))

    @property
    def kinds(self) -> list[str]:
        """The kind of each event."""
        return [kind for _, kind, _ in self.events]

    async def move(self, address: str) -> None:
        """Lose the connection, and connect again elsewhere."""
        await self.close()
        self.address = address
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Leave."""
        self._task.cancel()
        await asyncio.wait([self._task])


@asynccontextmanager
async def gateway(push: str, identify: Identify, **settings: Any) -> AsyncIterator[HttpServer]:
    """Yield a listener that serves streams to the callers that `identify` returns."""
    streams = Streams(
        StreamSettings(**settings),
        token=GATEWAY_TOKEN,
        push_addresses=[push],
        clock=SystemClock(),
        random=random.Random(1),
        metrics=Metrics(NoOpMeter("test")),
    )

    async def handle(request: BaseRequest) -> AnyResponse:
        try:
            caller = await identify(request)
            if caller is None:
                raise Problem(401, "unauthenticated", "Sign in again.")
            return await streams.serve_sse(request, caller, "request-0001")
        except Problem as problem:
            return problem_response(problem, "request-0001")

    server = HttpServer("127.0.0.1:0", handle)
    await server.start()
    try:
        async with streams:
            await until(lambda: streams.subscribed, 90)
            yield server
            await streams.drain(1)
    finally:
        await server.close()


def by_introspection(backend: Booted) -> Identify:
    """Identify callers by asking the backend about their tokens."""

    async def identify(request: BaseRequest) -> Caller | None:
        body = {"session_token": request.headers["Authorization"].removeprefix("Bearer ")}
        headers = {"X-Gateway-Token": GATEWAY_TOKEN}
        path = "/api/v1/internal/sessions/introspect"
        async with backend.client.post(path, json=body, headers=headers) as response:
            found = await response.json()
        if not found["active"]:
            return None
        return Caller(found["account_id"], found["session_id"], datetime.fromisoformat(found["expires_at"]))

    return identify


async def by_header(request: BaseRequest) -> Caller:
    """Identify callers by what they say."""
    return Caller(request.headers["X-Account"], request.headers["X-Session"], None)


async def test_from_sign_in_to_revocation(full_backend: Booted, mailbox: Mailbox) -> None:
    """A player hears of a new device; when that session is ended its stream ends, and it is refused from then on."""
    rpc = full_backend.kernel.rpc
    assert rpc is not None
    first = await sign_in(full_backend, mailbox, "ada@example.test")
    async with gateway(rpc.address, by_introspection(full_backend)) as server:
        bearer = {"Authorization": f"Bearer {first['session_token']}"}
        one = Client(server.address, bearer)
        await until(lambda: one.last_id)
        async with full_backend.database.transaction() as connection:  # past the throttle
            await connection.execute(text("UPDATE auth_challenges SET created_at = created_at - interval '1 hour'"))
        mailbox.mails.clear()
        second = await sign_in(full_backend, mailbox, "ada@example.test")
        await until(lambda: "auth.new_device" in one.kinds)
        other = Client(server.address, {"Authorization": f"Bearer {second['session_token']}"})
        await until(lambda: other.last_id)
        async with full_backend.client.delete(
            f"/api/v1/user/sessions/{second['session_id']}", headers=bearer
        ) as response:
            assert response.status == 204
        await until(lambda: 401 in other.connections)
        assert (other.kinds, other.connections) == (["session.revoked"], [200, 401])
        assert one.connections == [200]
        assert "session.revoked" not in one.kinds
        await one.close()
        await other.close()


@pytest.mark.slow
async def test_kill_9_of_the_backend_loses_and_doubles_nothing(
    empty_database: str, mail_environment: dict[str, str]
) -> None:
    """While the backend is killed again and again, 200 clients of two gateways get every event once and in order.

    Every fourth client loses its own connection meanwhile, and resumes at the other gateway.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        push = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {**mail_environment, "BACKEND_PUSH_LISTEN_ADDR": push}
    database = Database(make_engine(empty_database), schema_of(empty_database))
    accounts = [str(uuid4()) for _ in range(20)]
    people = [{"X-Account": account, "X-Session": str(uuid4())} for account in accounts]
    served = await Served(empty_database, environment).__aenter__()
    async with gateway(push, by_header) as one, gateway(push, by_header, ring_events=60) as other:
        gateways = (one, other)
        clients = [Client(gateways[n % 2].address, people[n % 20]) for n in range(200)]
        await until(lambda: all(client.last_id for client in clients), 60)
        for round_ in range(2):
            await _publish(database, accounts, range(round_ * 20, round_ * 20 + 10))
            await served.kill()
            await served.__aexit__()
            for n in range(round_, 200, 4):
                await clients[n].move(gateways[(n + 1) % 2].address)
            await _publish(database, accounts, range(round_ * 20 + 10, round_ * 20 + 20))
            served = await Served(empty_database, environment).__aenter__()
            await until(lambda seen=round_ * 20 + 20: all(len(client.events) >= seen for client in clients), 90)
        for n, client in enumerate(clients):
            assert [data["n"] for _, _, data in client.events] == list(range(40))
            assert client.connections == [200] * (2 if n % 4 < 2 else 1)
        late = Client(other.address, people[0], clients[0].events[4][0])
        await until(lambda: len(late.events) >= 35)
        assert late.events == clients[0].events[5:]
        for client in (*clients, late):
            await client.close()
    await served.__aexit__()
    await database.close()


async def _publish(database: Database, accounts: list[str], numbers: range) -> None:
    """Add an event to each account for each number, as a plugin does: each number in a transaction of its own."""
    for n in numbers:
        async with database.transaction() as connection:
            await connection.execute(
                text(
                    "INSERT INTO push_events (account_id, kind, payload, request_id)"
                    " SELECT account, 'test.happened', :payload, 'request-0001'"
                    " FROM unnest(CAST(:accounts AS uuid[])) AS account"
                ),
                {"accounts": accounts, "payload": json.dumps({"n": n})},
            )
