"""A kernel with chosen plugins, booted for a test on a database of its own."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import structlog
from typer.testing import CliRunner, Result

from galaxy_chassis.clock import Clock
from galaxy_chassis.config.settings import NoSettings
from galaxy_contracts.capability import Capability
from galaxy_contracts.fact import Fact
from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import Assembly, assemble
from galaxy_kernel.core.context import Context
from galaxy_kernel.core.discovery import Discovery, from_classes
from galaxy_kernel.core.kernel import Kernel
from galaxy_kernel.core.manifest import Manifest, Offer
from galaxy_kernel.database import Database, make_engine, schema_of
from galaxy_kernel.database.locks import Term
from galaxy_kernel.workers.worker import NextPass, Worker
from galaxy_migrations.comparison import drift

SECRET_KEY = "a secret key for tests, of more than 32 bytes"
GATEWAY_TOKEN = "a gateway token for tests, of more than 32 bytes"

ENVIRONMENT = {
    "BACKEND_SECRET_KEY": SECRET_KEY,
    "BACKEND_GATEWAY_TOKEN": GATEWAY_TOKEN,
    "BACKEND_HTTP_LISTEN_ADDR": "127.0.0.1:0",
    "BACKEND_PUSH_LISTEN_ADDR": "127.0.0.1:0",
    "BACKEND_OTEL_TRACES_EXPORTER": "none",
    "BACKEND_OTEL_METRICS_EXPORTER": "none",
    "BACKEND_SHUTDOWN_TIMEOUT": "5s",
}
"""The settings of every booted kernel, unless a test overrides them."""


@dataclass(frozen=True)
class Booted:
    """A kernel that is ready, and a client of it."""

    kernel: Kernel
    client: aiohttp.ClientSession
    """Its base URL is the kernel's; no status makes it raise."""
    dsn: str
    environment: Mapping[str, str]
    """The variables that it was booted with."""

    @property
    def database(self) -> Database:
        """The kernel's database."""
        return self.kernel.database

    @property
    def url(self) -> str:
        """The kernel's base URL."""
        return f"http://{self.kernel.http.address}"

    async def deliver(self, *facts: Fact) -> None:
        """Record facts as their plugins would, and wait until every listener has handled them.

        Raise TimeoutError when a listener has not within 10 s, for example because it fails.
        """
        async with self.database.transaction() as connection:
            await self.kernel.assembly.require_resources().facts.record(connection, *facts)
        async with asyncio.timeout(10):
            while await self._undelivered():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)

    async def run_pass(self, worker: str, *term: Term) -> NextPass:
        """Run one pass of a worker now, and return when it wants the next; one that takes a term is called with it."""
        by_name = {each.name: each for each in self._workers()}
        run: Callable[..., Awaitable[NextPass]] = by_name[worker].run
        return await run(*term)

    async def command(self, plugin: str, *arguments: str, given: str = "") -> Result:
        """Run `backend <plugin> <arguments>` beside the kernel, with `given` on its standard input."""
        installed = Discovery(tuple(self.kernel.assembly.found))
        plugins = assemble(self.environment, discovery=installed).plugins
        [(_, app)] = plugins.call("backend_commands", only=plugin)
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, input=given)

    async def drift(self, plugin: str) -> list[str]:
        """Return the differences between the tables that a plugin's revisions made and its `tables.py`."""
        branches = {branch.plugin: branch for branch in schema.branches(self.kernel.assembly.plugins)}
        return await drift(self.database.engine, self.database.schema, branches[plugin])

    def _workers(self) -> list[Worker]:
        return [worker for _, worker in self.kernel.assembly.plugins.contributions("backend_workers")]

    async def _undelivered(self) -> bool:
        async with self.database.reading() as connection:
            return bool((await connection.exec_driver_sql("SELECT EXISTS (SELECT FROM facts)")).scalar_one())


class Boot(Protocol):
    """The fixture `boot`."""

    def __call__(
        self,
        *plugins: type[Any],
        environment: Mapping[str, str] = {},
        clock: Clock | None = None,
        random: random.Random | None = None,
        dsn: str | None = None,
        http_client: aiohttp.ClientSession | None = None,
    ) -> AbstractAsyncContextManager[Booted]:
        """Boot a kernel with these plugin classes, and stop it at the end.

        The database is a fresh one with the plugins' schema; `dsn` names another, for a second replica.
        `http_client` is the plugins' `context.http`, and stays its caller's to close. Raise BootError as `backend
        serve` would.
        """


def offering(name: str, offers: Mapping[Capability[Any], Any]) -> type[Any]:
    """Make a plugin that provides the given implementations: fakes for what the plugin under test requires."""

    class Fake:
        manifest = Manifest(name=name, summary="A fake.", provides=tuple(offers))

        def __init__(self, context: Context[NoSettings]) -> None:
            self.context = context

        @asynccontextmanager
        async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
            yield [Offer(capability, implementation) for capability, implementation in offers.items()]

    return Fake


def make_boot(cluster: PostgresCluster) -> Boot:
    """Make the fixture's value."""

    @asynccontextmanager
    async def boot(
        *plugins: type[Any],
        environment: Mapping[str, str] = {},
        clock: Clock | None = None,
        random: random.Random | None = None,
        dsn: str | None = None,
        http_client: aiohttp.ClientSession | None = None,
    ) -> AsyncIterator[Booted]:
        fresh = None if dsn else await asyncio.to_thread(_fresh_database, cluster, plugins)
        used = dsn or fresh or ""
        variables = {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": used, **environment}
        assembly = _assemble(plugins, variables)
        kernel = Kernel(assembly, clock=clock, random=random, http_client=http_client)
        try:
            async with kernel.running(), aiohttp.ClientSession(f"http://{kernel.http.address}") as client:
                yield Booted(kernel, client, used, variables)
        finally:
            if fresh:
                await asyncio.to_thread(cluster.drop, fresh)

    return boot


def log_plainly() -> None:
    """Configure structlog unless somebody has: its default renders the locals of every frame, for a minute."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
            ]
        )


def _assemble(plugins: tuple[type[Any], ...], environment: Mapping[str, str]) -> Assembly:
    return assemble(environment, discovery=from_classes(*plugins))


def _fresh_database(cluster: PostgresCluster, plugins: tuple[type[Any], ...]) -> str:
    """Clone a template that holds the plugins' schema, created at the first call for this set of them."""
    names = " ".join(sorted(f"{plugin.__module__}.{plugin.__qualname__}" for plugin in plugins))
    template = f"galaxy_{hashlib.sha256(names.encode()).hexdigest()[:12]}"

    def prepare(dsn: str) -> None:
        asyncio.run(_migrate(plugins, dsn))

    return cluster.clone(cluster.template(template, prepare))


async def _migrate(plugins: tuple[type[Any], ...], dsn: str) -> None:
    assembly = _assemble(plugins, {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn})
    database = Database(make_engine(dsn), schema_of(dsn))
    try:
        await schema.bring_up(database, assembly.plugins, apply=True)
    finally:
        await database.close()
