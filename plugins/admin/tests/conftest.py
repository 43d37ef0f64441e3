"""The plugin alone, with a hash that takes no time and a first admin."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from aiohttp import encode_basic_auth
from argon2 import PasswordHasher
from typer.testing import CliRunner, Result

from galaxy_admin.plugin import AdminPlugin
from galaxy_devkit.testing import GATEWAY_TOKEN, Boot, Booted, ManualClock
from galaxy_kernel.api import Database
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes

FIRST = "the first password"
CHANGED = "correct horse battery"
ADMINS = "/api/v1/admin/admins"


class QuickAdmin(AdminPlugin):
    """The plugin with a hash that takes no time."""

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class GatedHasher(PasswordHasher):
    """A fast hasher whose work on chosen passwords waits at a gate, in its thread."""

    def __init__(self, *held: str) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.held = held
        self.reached = 0
        """How often the gate was reached."""
        self.gate = threading.Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._pass(password)
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 # the library's own name
        self._pass(password)
        return super().verify(hash, password)

    async def until_reached(self, times: int = 1) -> None:
        """Wait until so many threads have come to the gate."""
        async with asyncio.timeout(10):
            while self.reached < times:
                await asyncio.sleep(0.001)

    def _pass(self, password: str | bytes) -> None:
        if password in self.held:
            self.reached += 1
            if not self.gate.wait(30):
                raise TimeoutError("the test never opened the gate")


@pytest.fixture
def gated() -> Iterator[Callable[..., GatedHasher]]:
    """Return a function that makes a hasher that waits for some passwords; its gate opens when the test ends."""
    made: list[GatedHasher] = []

    def make(*held: str) -> GatedHasher:
        made.append(GatedHasher(*held))
        return made[-1]

    yield make
    for hasher in made:
        hasher.gate.set()


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted

    @property
    def database(self) -> Database:
        return self.booted.database

    async def ask(
        self,
        method: str,
        path: str,
        *,
        user: str = "root",
        password: str = CHANGED,
        json: Any = None,
        address: str | None = None,
    ) -> tuple[int, Any]:
        """Make a request as an operator, from a client address or our own, and return status and JSON."""
        headers = {"Authorization": encode_basic_auth(user, password), "Content-Type": "application/json"}
        if address is not None:
            headers |= {"X-Gateway-Token": GATEWAY_TOKEN, "X-Forwarded-For": address}
        async with self.booted.client.request(method, path, json=json, headers=headers) as response:
            return response.status, await response.json() if response.content_type.endswith("json") else None

    async def rotate(self, *, user: str = "root", current: str = FIRST, new: str = CHANGED) -> int:
        """Have an operator change their password, and return the status."""
        body = {"current_password": current, "new_password": new}
        return (await self.ask("PUT", f"{ADMINS}/me/password", user=user, password=current, json=body))[0]

    async def rows(self, action: str) -> list[Any]:
        """Return the rows of the audit log about an action, the oldest first."""
        query = "SELECT * FROM admin_audit_log WHERE action = %s ORDER BY at, id"
        async with self.database.reading() as connection:
            return list((await connection.exec_driver_sql(query, (action,))).all())

    async def until_closed(self, password: str) -> None:
        """Wait until the backend has applied a reset: a remembered password is refused."""
        async with asyncio.timeout(5):
            while (await self.ask("GET", ADMINS, password=password))[0] != 401:
                await asyncio.sleep(0.01)

    async def until_known(self, username: str) -> None:
        """Wait until the backend has an account that a command has created."""
        [cache] = dict(self.booted.kernel.assembly.plugins.call("backend_caches"))["admin"]
        async with asyncio.timeout(5):
            while cache.get(username) is None:
                await asyncio.sleep(0.01)

    async def command(self, *arguments: str, given: str = "") -> Result:
        """Run a command under `backend admin` beside the booted kernel, with `given` on its standard input."""
        environment = {"BACKEND_POSTGRES_DSN": self.booted.dsn}
        [(_, app)] = assemble(environment, discovery=from_classes(QuickAdmin)).plugins.call("backend_commands")
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, input=given)


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Return a function that boots the plugin with a first admin `root`; `beside` another world, as a replica."""
    async with AsyncExitStack() as stack:

        async def make(*, beside: World | None = None, password: str = FIRST, hasher: Any = None) -> World:
            plugin = QuickAdmin if hasher is None else type("GatedAdmin", (QuickAdmin,), {"hasher": hasher})
            environment = {"BACKEND_ADMIN_BOOTSTRAP_USER": "Root", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": password}
            dsn = beside.booted.dsn if beside else None
            booted = await stack.enter_async_context(boot(plugin, environment=environment, clock=clock, dsn=dsn))
            return World(booted)

        yield make


@pytest.fixture
async def world(make_world: Any) -> World:
    """Return the plugin, booted, with the first admin `root`."""
    world: World = await make_world()
    return world
