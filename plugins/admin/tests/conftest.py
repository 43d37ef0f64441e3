"""The plugin alone, with a hash that takes no time and a first admin."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from argon2 import PasswordHasher
from typer.testing import CliRunner, Result

from galaxy_admin.plugin import AdminPlugin
from galaxy_kernel.api import Database
from galaxy_kernel.assembly import assemble
from galaxy_kernel.discovery import from_classes
from galaxy_kernel.testing import Boot, Booted, ManualClock

FIRST = "the first password"
CHANGED = "correct horse battery"
ADMINS = "/api/v1/admin/admins"


class QuickAdmin(AdminPlugin):
    """The plugin with a hash that takes no time."""

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted

    @property
    def database(self) -> Database:
        return self.booted.database

    async def ask(
        self, method: str, path: str, *, user: str = "root", password: str = CHANGED, json: Any = None
    ) -> tuple[int, Any]:
        """Make a request as an operator, and give status and JSON."""
        headers = {"Authorization": encode_basic_auth(user, password)}
        async with self.booted.client.request(method, path, json=json, headers=headers) as response:
            return response.status, await response.json() if response.content_type.endswith("json") else None

    async def rotate(self, *, user: str = "root", current: str = FIRST, new: str = CHANGED) -> int:
        """Have an operator change their password, and give the status."""
        body = {"current_password": current, "new_password": new}
        return (await self.ask("PUT", f"{ADMINS}/me/password", user=user, password=current, json=body))[0]

    async def command(self, *arguments: str, given: str = "") -> Result:
        """Run a command under `backend admin` beside the booted kernel, with `given` on its standard input."""
        environment = {"BACKEND_POSTGRES_DSN": self.booted.dsn}
        [(_, app)] = assemble(environment, discovery=from_classes(QuickAdmin)).plugins.call("backend_commands")
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, input=given)


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Give what boots the plugin with a first admin `root`; `beside` another world for a second replica."""
    async with AsyncExitStack() as stack:

        async def make(*, beside: World | None = None, password: str = FIRST) -> World:
            environment = {"BACKEND_ADMIN_BOOTSTRAP_USER": "Root", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": password}
            dsn = beside.booted.dsn if beside else None
            booted = await stack.enter_async_context(boot(QuickAdmin, environment=environment, clock=clock, dsn=dsn))
            return World(booted)

        yield make


@pytest.fixture
async def world(make_world: Any) -> World:
    """Give the plugin, booted, with the first admin `root`."""
    world: World = await make_world()
    return world
