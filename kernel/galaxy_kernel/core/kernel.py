"""The life of one backend process: start, build, warm, ready, drain, stop.

The HTTP listener is bound first, so that probers get an answer from the beginning: `/healthz` 200, `/readyz` 503 with
what is still missing. What was entered is left in the reverse order; an error of the clean-up is added to the first.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import ClientSession

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.clock import Clock, wait_for_event
from galaxy_chassis.errors import BootError
from galaxy_chassis.health import Health, Probe, Probes
from galaxy_chassis.http.client import HttpClient
from galaxy_chassis.logs import get_logger, loop_exception_handler
from galaxy_chassis.process import BackgroundTasks, handle_stop_signals
from galaxy_chassis.telemetry.metrics import CHECK_STATE
from galaxy_chassis.watchdog import LoopWatchdog
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import KERNEL, Assembly
from galaxy_kernel.core.context import make_resources
from galaxy_kernel.core.facilities import Facilities
from galaxy_kernel.core.lifespans import Lifespans
from galaxy_kernel.database import (
    Database,
    check_session,
    diagnose,
    is_unavailable,
    make_engine,
    refusal_of_settings,
    schema_of,
)
from galaxy_kernel.database.clock import DatabaseClock
from galaxy_kernel.errors import PhaseError
from galaxy_kernel.http.service import HttpService
from galaxy_kernel.rpc.server import RpcServer

_BACKOFF = Backoff(0.1, 2.0, jitter=0.0)
"""Between attempts to reach Postgres when the process comes up."""

_log = get_logger("galaxy_kernel.core.kernel", plugin=KERNEL)


class Kernel:
    """One backend process, or one of several in a test. Made inside the event loop that runs it.

    Raise ConfigurationError when the settings are not fit to serve.
    """

    def __init__(
        self,
        assembly: Assembly,
        *,
        clock: Clock | None = None,
        random: random.Random | None = None,
        http_client: ClientSession | None = None,
    ) -> None:
        assembly.configuration.check("serve")
        self.assembly, self._settings = assembly, assembly.kernel_settings
        self._clock, self._random = clock or DatabaseClock(), random or secrets.SystemRandom()
        self._http_client = HttpClient(http_client)
        self.services = CapabilityRegistry()
        self.probes = Probes(self._clock)
        self.phase, self._waiting_for = "starting", ""
        self.database = _make_database(assembly)
        self._stop = asyncio.Event()
        self._tasks = BackgroundTasks(on_crash=self.stop)
        self._facilities = Facilities(
            assembly,
            clock=self._clock,
            random=self._random,
            services=self.services,
            probes=self.probes,
            tasks=self._tasks,
        )
        manifests = [found.manifest for found in assembly.found]
        self._lifespans = Lifespans(assembly.plugins, manifests, self.services, self._clock)
        self._add_probes()

    @property
    def http(self) -> HttpService:
        """The HTTP API."""
        return self._facilities.http

    @property
    def rpc(self) -> RpcServer | None:
        """The gRPC listener, once built, where a plugin contributes a service."""
        return self._facilities.rpc

    def stop(self) -> None:
        """Ask the service to stop; safe to call from a signal handler, and more than once."""
        self._stop.set()

    async def serve(self, on_ready: "Callable[[Kernel], Awaitable[None]] | None" = None) -> int:
        """Run until stopped by a signal, and return the exit status. Raise BootError when it cannot start."""
        asyncio.get_running_loop().set_exception_handler(loop_exception_handler)
        handle_stop_signals(self._stop, self._interrupter())
        try:
            async with self.running():
                if on_ready is not None:
                    await on_ready(self)
                await self._stop.wait()
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise
        if self._tasks.crash is not None:
            raise PhaseError(KERNEL, "a background task", self._tasks.crash)
        return 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Kernel"]:
        """Start, be ready within the block, and stop, in the order of the phases."""
        stack = AsyncExitStack()
        try:
            async with stack:
                await self._start(stack)
                yield self
        except BootError as error:
            if self._lifespans.errors:
                cleanup = "; ".join(self._lifespans.errors)
                error.args = (f"{error}; additionally, cleanup: {cleanup}", *error.args[1:])
            raise
        finally:
            self.phase = "stopped"

    async def _start(self, stack: AsyncExitStack) -> None:
        assembly = self.assembly
        telemetry = assembly.telemetry
        packages = {found.package: found.name for found in assembly.found}
        stack.enter_context(LoopWatchdog(packages, on_delay=telemetry.note_loop_delay).watching())
        CHECK_STATE.observe(telemetry.meter("galaxy_kernel"), self.probes.states)
        stack.callback(telemetry.shutdown, 2.0)
        telemetry.start()
        await self._facilities.listen()
        stack.push_async_callback(self.http.server.close)
        stack.push_async_callback(self.database.close)
        await self._reach_postgres()
        await schema.bring_up(self.database, assembly.plugins, apply=self._settings.migrate_on_start)
        self.phase = "building"
        resources = make_resources(
            self.database,
            self.services,
            self._settings.secret,
            clock=self._clock,
            random=self._random,
            http=self._http_client,
        )
        stack.push_async_callback(self._http_client.close)
        self._tasks.start(stack, resources.wakeups.run(), "wakeups")
        assembly.share(resources)
        await self._lifespans.enter(stack)
        stack.push_async_callback((await self._facilities.build(resources)).aclose)
        stack.push_async_callback(self._drain)
        self.phase = "ready"
        self.probes.forget()
        self._tasks.start(stack, self.probes.run(), "checks")
        _log.info("service_started", address=self.http.address, plugins=list(assembly.plugins.names))

    async def _reach_postgres(self) -> None:
        """Wait for Postgres, however long it takes; `/readyz` shows it as missing meanwhile."""
        failures = 0
        while True:
            try:
                await check_session(self.database)
                if isinstance(self._clock, DatabaseClock):
                    await self._clock.ask(self.database)
                return
            except BootError:
                raise
            except Exception as error:
                if (refusal := refusal_of_settings(error)) is not None:
                    raise refusal from error
                if not is_unavailable(error):
                    if (told := diagnose(error)) is not None:
                        raise BootError(f"Postgres: {told}") from error
                    raise PhaseError(KERNEL, "connecting to Postgres (BACKEND_POSTGRES_DSN)", error) from error
                failures += 1
                delay = _BACKOFF.delay(failures, self._random)
                self._waiting_for = f"Postgres: {diagnose(error)}"
                _log.warning("postgres_connection_failed", retry_in_seconds=delay, reason=diagnose(error))
            await wait_for_event(self._stop, delay)

    async def _drain(self) -> None:
        """Finish what is in progress within `BACKEND_SHUTDOWN_TIMEOUT`: requests, calls and passes of workers."""
        self.phase = "draining"
        self.probes.forget()
        timeout = self._settings.shutdown_timeout.total_seconds()
        self._lifespans.deadline = self._clock.monotonic() + timeout
        _log.info("drain_started", timeout_seconds=timeout)
        await self._facilities.drain(timeout)

    def _add_probes(self) -> None:
        async def phase() -> Health:
            current = self._lifespans.current or (self._waiting_for if self.phase == "starting" else "")
            detail = f"{self.phase}: {current}" if current else self.phase
            return Health() if self.phase == "ready" else Health("failed", detail)

        async def postgres() -> Health:
            try:
                await self.database.ping()
            except Exception as error:
                if not is_unavailable(error):
                    raise
                return Health("failed", "Postgres does not answer: see the logs, and BACKEND_POSTGRES_DSN")
            return Health()

        async def writes() -> Health:
            fault = self.database.writes.fault()
            return Health("failed", f"Postgres refuses writes: {fault}") if fault else Health()

        async def migrations() -> Health:
            done = self.phase in ("building", "ready", "draining")
            return Health() if done else Health("failed", "not applied yet")

        checks = {"lifecycle": phase, "postgres": postgres, "postgres_writes": writes, "migrations": migrations}
        self.probes.add(KERNEL, [Probe(name, check, gates="ready") for name, check in checks.items()])

    def _interrupter(self) -> Callable[[], None]:
        """Return a function that interrupts the start, which may wait for ever."""
        task = asyncio.current_task()

        def interrupt() -> None:
            if self.phase in ("starting", "building") and task is not None:
                task.cancel()

        return interrupt


def _make_database(assembly: Assembly) -> Database:
    settings = assembly.kernel_settings
    engine = make_engine(
        settings.dsn,
        pool_size=settings.postgres_pool_size,
        statement_timeout=settings.postgres_statement_timeout.total_seconds(),
    )
    return Database(engine, schema_of(settings.dsn))
