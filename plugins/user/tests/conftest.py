"""The plugin alone, with fake authenticators."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR
from galaxy_contracts.accounts import ACCOUNTS, Account, AccountBlocked, AccountDeleted, Accounts, Registration
from galaxy_contracts.testing import FakeAdmins, FakeUsers
from galaxy_devkit.testing.kernel import Boot, Booted, offering
from galaxy_kernel.api import Connection, Database
from galaxy_user.plugin import UserPlugin


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    users: FakeUsers
    clock: ManualClock

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def accounts(self) -> Accounts:
        return self.booted.kernel.services.require(ACCOUNTS, asked_by="the test")

    async def account(self, email: str = "Player@example.test", **fields: Any) -> Account:
        """Make an account whose id is a session token."""
        async with self.database.transaction() as connection:
            account, _ = await self.accounts.find_or_create(connection, Registration(email, **fields))
        self.users.accounts.add(account.id)
        return account

    async def ask(self, method: str, path: str, *, user: Account | None = None, **request: Any) -> tuple[int, Any]:
        """Make a request as a player, or else as the operator, and return status and JSON."""
        if user is not None:
            request["headers"] = {"Authorization": f"Bearer {user.id}"}
        else:
            request["headers"] = {"Authorization": FakeAdmins.basic(), "Content-Type": "application/json"}
        async with self.booted.client.request(method, path, **request) as response:
            return response.status, await response.json() if response.content_length else None

    async def row(self, account: Account) -> dict[str, Any]:
        """Return the account's row."""
        async with self.database.reading() as connection:
            rows = await connection.execute(text("SELECT * FROM accounts WHERE id = :id"), {"id": account.id})
            return dict(rows.one()._mapping)


def listening(name: str, heard: list[Any], *kinds: type[Any]) -> type[Any]:
    """Make a plugin that listens to facts."""

    class Listener(offering(name, {})):  # type: ignore[misc] # a class made at run time
        def backend_subscriptions(self) -> dict[type[Any], Any]:
            async def keep(connection: Connection, fact: Any) -> None:
                heard.append(fact)

            return dict.fromkeys(kinds, keep)

    return Listener


@pytest.fixture
def heard() -> list[Any]:
    """Return the facts delivered so far."""
    return []


@pytest.fixture
async def world(boot: Boot, clock: ManualClock, heard: list[Any]) -> AsyncIterator[World]:
    """Return the plugin, booted."""
    users = FakeUsers()
    fakes = offering("fakes", {USER_AUTHENTICATOR: users, ADMIN_AUTHENTICATOR: FakeAdmins()})
    listener = listening("listener", heard, AccountBlocked, AccountDeleted)
    async with boot(UserPlugin, fakes, listener, clock=clock) as booted:
        yield World(booted, users, clock)
