"""The plugin with fakes of what it requires."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import event, text

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.http.problems import Problem
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR, UserIdentity
from galaxy_contracts.accounts import ACCOUNTS, Account, AccountDeleted
from galaxy_contracts.engines import ENGINE_VERSIONS, EngineVersion
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import NOTIFICATIONS, Intent
from galaxy_contracts.runtime import RUNTIME, PositionMade
from galaxy_contracts.testing import (
    FakeAccounts,
    FakeAdmins,
    FakeEngineVersions,
    FakeNotifications,
    FakeOutbox,
    FakeRuntime,
    FakeUsers,
)
from galaxy_devkit.testing.kernel import Boot, Booted, offering
from galaxy_kernel.api import Call, Connection, Database, new_id
from galaxy_lobby.plugin import LobbyPlugin

GAMES, INVITATIONS, ADMIN = "/api/v1/user/games", "/api/v1/user/invitations", "/api/v1/admin/games"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
DESCRIBE = {
    "contract": 1,
    "engine": "galaxy",
    "version": "1.4.0",
    "players": {"min": 1, "max": 8},
    "capabilities": ["suggest", "options", "validate"],
    "options_schema": {
        "type": "object",
        "properties": {"fog": {"type": "boolean"}},
        "additionalProperties": False,
    },
}


class CommittedNotifications(FakeNotifications):
    """Notifications of which those of a transaction that rolls back are forgotten."""

    repeated = 0
    """Intents whose key was there already."""

    async def submit(self, connection: Connection, intent: Intent) -> UUID:
        before = len(self.intents)
        self.repeated += (intent.kind, intent.idempotency_key) in self._ids
        submitted = await super().submit(connection, intent)
        if len(self.intents) > before and connection.sync_connection is not None:
            event.listen(connection.sync_connection, "rollback", lambda _: self._forget(intent))
        return submitted

    def _forget(self, intent: Intent) -> None:
        self.intents.remove(intent)
        del self._ids[intent.kind, intent.idempotency_key]


@dataclass
class Fakes:
    """What the plugin requires."""

    clock: ManualClock
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    versions: FakeEngineVersions = field(default_factory=FakeEngineVersions)
    notifications: CommittedNotifications = field(default_factory=CommittedNotifications)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    users: FakeUsers = field(default_factory=FakeUsers)
    runtime: FakeRuntime = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = FakeRuntime(Problem, self.clock.now)

    def plugin(self) -> type[Any]:
        return offering(
            "fakes",
            {
                ACCOUNTS: self.accounts,
                ENGINE_VERSIONS: self.versions,
                NOTIFICATIONS: self.notifications,
                OUTBOX: self.outbox,
                RUNTIME: self.runtime,
                USER_AUTHENTICATOR: self.users,
                ADMIN_AUTHENTICATOR: FakeAdmins(),
            },
        )


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    clock: ManualClock
    fakes: Fakes
    version: EngineVersion

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def runtime(self) -> FakeRuntime:
        return self.fakes.runtime

    def contributed(self, hook: str) -> list[Any]:
        """Return what the plugin contributes by a hook."""
        found = self.booted.kernel.assembly.plugins.contributions(hook)
        return [each for plugin, each in found if plugin == "lobby"]

    def account(self, name: str, **changed: Any) -> Account:
        """Make an account whose id is a session token."""
        account = Account(new_id(), f"{name.lower()}@example.test", name, "en", "Europe/Vienna", None, NOW)
        account = msgspec.structs.replace(account, **changed)
        self.fakes.accounts.accounts[account.id] = account
        self.fakes.users.accounts.add(account.id)
        return account

    async def ask(self, method: str, path: str, user: Account | None = None, **request: Any) -> tuple[int, Any]:
        """Make a request as a player, or else as the operator, and return status and JSON."""
        headers = {"Content-Type": "application/json", **request.pop("headers", {})}
        headers["Authorization"] = f"Bearer {user.id}" if user else FakeAdmins.basic()
        async with self.booted.client.request(method, path, headers=headers, **request) as response:
            return response.status, await response.json() if response.content_length else None

    async def do(self, user: Account, method: str, path: str, status: int = 200, **request: Any) -> Any:
        """Make a request under the path of games that must be answered so, and return the JSON."""
        found, answer = await self.ask(method, f"{GAMES}{path}", user, **request)
        assert found == status, answer
        return answer

    def spec(self, **changed: Any) -> dict[str, Any]:
        """Return the body of a game."""
        body = {
            "name": "Andromeda",
            "engine_version": "galaxy@1.4.0",
            "min_players": 1,
            "max_players": 2,
            "schedule": {"interval": "1d"},
        }
        return body | changed

    async def create(self, owner: Account, **changed: Any) -> str:
        """Create a draft, and return its id."""
        game_id: str = (await self.do(owner, "POST", "", 201, json=self.spec(**changed)))["id"]
        return game_id

    async def opened(self, owner: Account, *players: Account, **changed: Any) -> str:
        """Create a game that enrols and have players join it."""
        game = await self.create(owner, **changed)
        await self.do(owner, "POST", f"/{game}/open-enrolment")
        for player in players:
            await self.do(player, "POST", f"/{game}/join")
        return game

    async def running(self, owner: Account, *players: Account, **changed: Any) -> str:
        """Create a game and have it run."""
        game = await self.opened(owner, *players, **{"max_players": max(2, len(players)), **changed})
        await self.do(owner, "POST", f"/{game}/start", 202)
        await self.position(game)
        return game

    async def position(self, game: str, **position: Any) -> PositionMade:
        """Have the runtime make the next position of a game."""
        async with self.database.transaction() as connection:
            return await self.runtime.make_position(connection, UUID(game), **position)

    async def show(self, user: Account, game: str) -> Any:
        """Return a game as a player sees it."""
        return await self.do(user, "GET", f"/{game}")

    async def seat(self, user: Account, game: str) -> int:
        """Return a player's seat."""
        seat: int = (await self.show(user, game))["seat"]
        return seat

    async def send(self, user: Account, game: str, **body: Any) -> tuple[int, Any]:
        """Send orders for the current turn."""
        turn = (await self.show(user, game))["turn"]
        return await self.ask("PUT", f"{GAMES}/{game}/orders", user, json={"turn": turn, "orders": [], **body})

    def told(self, kind: str | None = None, game: str | None = None) -> list[tuple[str, set[str]]]:
        """Return the kinds of what was submitted, and the names of who was told, in the order of submission."""
        return [
            (
                intent.kind.removeprefix("lobby."),
                {self.fakes.accounts.accounts[each].display_name for each in intent.recipients},
            )
            for intent in self.fakes.notifications.intents
            if kind in (None, intent.kind.removeprefix("lobby.")) and game in (None, str(_payload(intent)["game_id"]))
        ]

    def payload(self, kind: str) -> dict[str, Any]:
        """Return the payload of the newest notification of a kind."""
        intents = [each for each in self.fakes.notifications.intents if each.kind == f"lobby.{kind}"]
        return _payload(intents[-1])

    async def delete(self, account: Account) -> None:
        """Delete an account, as its plugin would, and wait until the plugin has heard of it."""
        self.fakes.accounts.change(account.id, email=None, display_name="Deleted player", deleted_at=self.clock.now())
        self.fakes.users.accounts.discard(account.id)
        shared = self.booted.kernel.assembly.require_resources()
        async with self.database.transaction() as connection:
            await shared.facts.record(connection, AccountDeleted(account.id, account.email or "", self.clock.now()))
        await self.until_async("SELECT count(*) = 0 FROM facts")

    async def call(self, user: Account, name: str, **arguments: Any) -> Any:
        """Call the handler of an operation in the test's own task, without HTTP."""
        route = next(each for each in self.contributed("backend_routes") if each.name == name)
        identity = UserIdentity(user.id, user.id, datetime(9999, 1, 1, tzinfo=UTC))
        return await route.handler(call=Call(route, "request", {}, "127.0.0.1", user=identity), **arguments)

    def listener(self, fact: type[Any]) -> Any:
        """Return the plugin's listener for a fact."""
        return dict(self.booted.kernel.assembly.plugins.call("backend_subscriptions"))["lobby"][fact]

    def memory(self) -> dict[str, set[Any]]:
        """Return what the plugin's caches hold, as text."""
        return {cache.name: {repr(row) for row in cache.values()} for cache in self.contributed("backend_caches")}

    async def until_async(self, query: str) -> None:
        """Wait until a query of one truth value gives true."""
        async with asyncio.timeout(10):
            while not (await self.execute(query)).scalar_one():
                await asyncio.sleep(0.01)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the kernel does in the background."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    async def execute(self, statement: str, **parameters: Any) -> Any:
        async with self.database.transaction() as connection:
            return await connection.execute(text(statement), parameters)

    async def rows(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return [tuple(row) for row in await self.execute(statement, **parameters)]


def _payload(intent: Intent) -> dict[str, Any]:
    assert isinstance(intent.payload, dict)
    return intent.payload


@pytest.fixture
def world_in(boot: Boot) -> Any:
    """Return what boots the plugin until a stack is closed, for tests with an event loop of their own."""

    async def make(stack: AsyncExitStack, **settings: str) -> World:
        clock = ManualClock()
        fakes = Fakes(clock)
        environment = {f"BACKEND_LOBBY_{name.upper()}": value for name, value in settings.items()}
        booted = await stack.enter_async_context(
            boot(LobbyPlugin, fakes.plugin(), environment=environment, clock=clock)
        )
        return World(booted, clock, fakes, fakes.versions.add("1.4.0", engine="galaxy", describe=DESCRIBE))

    return make


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Return what boots the plugin: settings by name, `beside` for a second replica of another world."""
    async with AsyncExitStack() as stack:

        async def make(*, beside: World | None = None, **settings: str) -> World:
            fakes = beside.fakes if beside else Fakes(clock)
            if beside:
                fakes = Fakes(
                    clock, fakes.accounts, fakes.versions, CommittedNotifications(), FakeOutbox(), fakes.users
                )
                fakes.runtime = beside.runtime
            environment = {f"BACKEND_LOBBY_{name.upper()}": value for name, value in settings.items()}
            dsn = beside.booted.dsn if beside else None
            plugins = (LobbyPlugin, fakes.plugin())
            booted = await stack.enter_async_context(boot(*plugins, environment=environment, clock=clock, dsn=dsn))
            if beside:
                return World(booted, clock, fakes, beside.version)
            return World(booted, clock, fakes, fakes.versions.add("1.4.0", engine="galaxy", describe=DESCRIBE))

        yield make


@pytest.fixture
async def world(make_world: Any) -> World:
    """Return the plugin, booted with its default settings."""
    world: World = await make_world()
    return world
