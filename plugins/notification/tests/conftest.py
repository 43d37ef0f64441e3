"""The plugin with fakes of what it requires and uses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import Field
from sqlalchemy import text

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR
from galaxy_contracts.accounts import ACCOUNTS, Account, AccountDeleted
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import ADMIN_CHANNEL, NOTIFICATIONS, Channel, Intent, NotificationKind
from galaxy_contracts.push import PUSH
from galaxy_contracts.testing import (
    FakeAccounts,
    FakeAdminChannel,
    FakeAdmins,
    FakeOutbox,
    FakePush,
    FakeUsers,
)
from galaxy_devkit.testing.kernel import Boot, Booted, offering
from galaxy_kernel.api import Database, Model, Timestamp, new_id
from galaxy_notification.plugin import NotificationPlugin

ADMIN, USER = "/api/v1/admin/notifications", "/api/v1/user/notifications"
OPERATORS = "operators@example.test"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class TurnReady(Model):
    """A turn is ready."""

    game: str = Field(examples=["Andromeda"])
    turn: int = Field(examples=[7])
    due_at: Timestamp = Field(default=NOW)


TURN_READY = NotificationKind(name="lobby.turn_ready", summary="A turn is ready.", payload=TurnReady, package="lobby")
SECURITY = NotificationKind(
    name="auth.warning",
    summary="A warning.",
    payload=TurnReady,
    package="auth",
    mandatory=True,
    channels=(Channel.EMAIL,),
)


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    clock: ManualClock
    fakes: dict[Any, Any]
    users: FakeUsers = field(default_factory=FakeUsers)

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def notifications(self) -> Any:
        return self.booted.kernel.services.require(NOTIFICATIONS, asked_by="the test")

    @property
    def mails(self) -> list[Any]:
        return list(self.fakes[OUTBOX].messages)

    @property
    def events(self) -> list[Any]:
        return list(self.fakes[PUSH].events)

    def account(self, email: str = "ada@example.test", **changed: Any) -> Account:
        """Make an account whose id is a session token."""
        account = Account(new_id(), email, "Ada", "en", "Europe/Vienna", None, NOW)
        account = msgspec.structs.replace(account, **changed)
        self.fakes[ACCOUNTS].accounts[account.id] = account
        self.users.accounts.add(account.id)
        return account

    async def submit(self, *accounts: Account, key: str = "key", kind: str = TURN_READY.name, **payload: Any) -> UUID:
        payload = payload or {"game": "Andromeda", "turn": 7}
        intent = Intent(kind=kind, idempotency_key=key, payload=payload, recipients=[each.id for each in accounts])
        async with self.database.transaction() as connection:
            found: UUID = await self.notifications.submit(connection, intent)
        return found

    async def ask(self, method: str, path: str, user: Account | None = None, **request: Any) -> tuple[int, Any]:
        """Make a request as a player, or else as the operator, and return status and JSON."""
        headers = {
            "Authorization": f"Bearer {user.id}" if user else FakeAdmins.basic(),
            "Content-Type": "application/json",
        }
        async with self.booted.client.request(method, path, headers=headers, **request) as response:
            return response.status, await response.json() if response.content_length else None

    async def routes(self, notification: UUID | str) -> list[dict[str, Any]]:
        """Return the routes of an intent as operators see them."""
        status, shown = await self.ask("GET", f"{ADMIN}/{notification}")
        assert status == 200, shown
        routes: list[dict[str, Any]] = shown["routes"]
        return routes

    async def states(self, notification: UUID | str) -> set[tuple[str, str, str | None]]:
        """Return channel, state and reason of an intent's routes."""
        return {(route["channel"], route["state"], route["reason"]) for route in await self.routes(notification)}

    async def settled(self, notification: UUID | str) -> set[tuple[str, str, str | None]]:
        """Wait until nothing of an intent is pending, and return its states."""
        async with asyncio.timeout(10):
            while True:
                found = await self.states(notification)
                if all(state != "pending" for _, state, _ in found):
                    return found
                await asyncio.sleep(0.01)

    async def tell_deletion(self, account: Account) -> None:
        """Delete an account, as its plugin would."""
        self.fakes[ACCOUNTS].accounts[account.id] = msgspec.structs.replace(account, email=None, deleted_at=NOW)
        shared = self.booted.kernel.assembly.require_resources()
        async with self.database.transaction() as connection:
            await shared.facts.record(connection, AccountDeleted(account.id, account.email or "", NOW))

    async def execute(self, statement: str) -> Any:
        async with self.database.transaction() as connection:
            return await connection.execute(text(statement))


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Return a function that boots the plugin, without the capabilities in `absent`, with settings by name."""
    async with AsyncExitStack() as stack:

        async def make(*, absent: Any = (), **settings: str) -> World:
            users = FakeUsers()
            fakes = {
                ACCOUNTS: FakeAccounts(),
                OUTBOX: FakeOutbox(),
                PUSH: FakePush(),
                ADMIN_CHANNEL: FakeAdminChannel(),
                USER_AUTHENTICATOR: users,
                ADMIN_AUTHENTICATOR: FakeAdmins(),
            }
            for capability in absent:
                del fakes[capability]
            environment = {"BACKEND_NOTIFICATION_ADMIN_EMAIL": OPERATORS}
            environment |= {f"BACKEND_NOTIFICATION_{name.upper()}": value for name, value in settings.items()}
            plugins = (NotificationPlugin, offering("fakes", fakes))
            booted = await stack.enter_async_context(boot(*plugins, environment=environment, clock=clock))
            world = World(booted, clock, fakes, users)
            world.notifications.register(TURN_READY)
            world.notifications.register(SECURITY)
            return world

        yield make


@pytest.fixture
async def world(make_world: Any) -> Any:
    """Return the plugin with every capability, and two kinds for players."""
    return await make_world()
