"""The plugin with fakes of what it requires."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from galaxy_auth.plugin import AuthPlugin
from galaxy_chassis.clock import ManualClock
from galaxy_contracts.accounts import ACCOUNTS, AccountBlocked, AccountDeleted
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.sessions import SESSIONS, SessionsRevoked, SessionStarted
from galaxy_contracts.testing import FakeAccounts, FakeCountries, FakeOutbox
from galaxy_devkit.testing.kernel import GATEWAY_TOKEN, Boot, Booted, offering
from galaxy_kernel.api import Connection, Database

PUBLIC = "/api/v1/public/auth"


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    clock: ManualClock
    accounts: FakeAccounts
    outbox: FakeOutbox
    heard: list[Any] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def sessions(self) -> Any:
        """The plugin's own service, by the contract it provides."""
        return self.booted.kernel.services.require(SESSIONS, asked_by="the test")

    async def ask(
        self, method: str, path: str, *, token: str | None = None, address: str | None = None, **request: Any
    ) -> tuple[int, Any]:
        """Make a request, with a token, or through the gateway from a client address."""
        headers = request.pop("headers", {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if address is not None:
            headers |= {"X-Gateway-Token": GATEWAY_TOKEN, "X-Forwarded-For": address}
        async with self.booted.client.request(method, path, headers=headers, **request) as response:
            body = await response.json() if response.content_length else None
            return response.status, {"retry_after": response.headers.get("Retry-After"), **(body or {})}

    async def send(self, email: str = "ada@example.test", **request: Any) -> tuple[int, Any]:
        """Ask for a code."""
        address = request.pop("address", None)
        return await self.ask("POST", f"{PUBLIC}/send-email-code", address=address, json={"email": email, **request})

    async def confirm(self, challenge_id: str, code: str, **more: Any) -> tuple[int, Any]:
        """Return a code."""
        body = {"challenge_id": challenge_id, "code": code, **more}
        return await self.ask("POST", f"{PUBLIC}/confirm-email-code", json=body)

    async def challenge(self, email: str = "ada@example.test", **request: Any) -> tuple[str, str]:
        """Ask for a code, and return the challenge's id and the code from the mail."""
        status, answer = await self.send(email, **request)
        assert status == 202, answer
        message = next(m for m in self.outbox.messages if m.idempotency_key == answer["challenge_id"])
        return answer["challenge_id"], message.parameters["code"]

    async def sign_in(self, email: str = "ada@example.test", **more: Any) -> Any:
        """Sign in, past the throttle, and return the answer."""
        if self.outbox.messages:
            self.clock.advance(timedelta(seconds=60))
        status, answer = await self.confirm(*await self.challenge(email), **more)
        assert status == 201, answer
        return answer

    async def works(self, token: str) -> bool:
        """Return whether a token is valid."""
        status, _ = await self.ask("GET", "/api/v1/user/sessions", token=token)
        assert status in (200, 401)
        return status == 200

    async def tell(self, fact: Any) -> None:
        """Record a fact as its plugin would."""
        shared = self.booted.kernel.assembly.require_resources()
        async with self.database.transaction() as connection:
            await shared.facts.record(connection, fact)

    async def count(self, table: str) -> int:
        """Count a table's rows."""
        async with self.database.reading() as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())

    async def dump(self) -> str:
        """Return every row of every table of the schema as text."""
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        async with self.database.reading() as connection:
            names = (await connection.execute(text(tables))).scalars().all()
            rows = [(await connection.execute(text(f"SELECT t::text FROM {name} t"))).scalars().all() for name in names]
        return "\n".join(row for each in rows for row in each)

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait for background work of the kernel."""
        async with asyncio.timeout(seconds):
            while not condition():  # there is no event for it
                await asyncio.sleep(0.01)


def listener(heard: list[Any]) -> type[Any]:
    """Make a plugin that keeps the facts it receives."""

    class Listener(offering("listener", {})):  # type: ignore[misc] # a class made at run time
        def backend_subscriptions(self) -> dict[type[Any], Any]:
            async def keep(connection: Connection, fact: Any) -> None:
                heard.append(fact)

            return dict.fromkeys((SessionStarted, SessionsRevoked, AccountBlocked, AccountDeleted), keep)

    return Listener


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Return a function that boots the plugin; `dsn` and fakes of another world make a second replica."""
    async with AsyncExitStack() as stack:

        async def make(
            *,
            beside: World | None = None,
            accounts: Any = None,
            outbox: Any = None,
            countries: FakeCountries | None = None,
            dsn: str | None = None,
            **settings: str,
        ) -> World:
            heard: list[Any] = []
            accounts = accounts or (beside.accounts if beside else FakeAccounts())
            outbox = outbox or (beside.outbox if beside else FakeOutbox())
            used = {} if countries is None else {COUNTRIES: countries}
            fakes = offering("fakes", {ACCOUNTS: accounts, OUTBOX: outbox, **used})
            environment = {f"BACKEND_AUTH_{name.upper()}": value for name, value in settings.items()}
            dsn = beside.booted.dsn if beside else dsn
            plugins = (AuthPlugin, fakes, listener(heard))
            booted = await stack.enter_async_context(boot(*plugins, environment=environment, clock=clock, dsn=dsn))
            return World(booted, clock, accounts, outbox, heard)

        yield make


@pytest.fixture
def world_of() -> type[World]:
    """Return a function that wraps a kernel that a test has booted itself."""
    return World


@pytest.fixture
async def world(make_world: Any) -> World:
    """Return the plugin, booted with its default settings."""
    world: World = await make_world()
    return world
