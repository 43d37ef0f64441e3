"""The life of one backend process: start, build, warm, ready, drain, stop.

The HTTP listener is bound first, so that probers get an answer from the beginning: `/healthz` 200, `/readyz` 503
with what is still missing. Whatever was entered is left in exactly the reverse order, on a stop as on a failure;
the first error is never lost behind one of the clean-up.
"""

import asyncio
import os
import random
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from galaxy_kernel import schema
from galaxy_kernel.assembly import KERNEL, Assembly
from galaxy_kernel.building import build, make_http
from galaxy_kernel.clock import Clock, SystemClock, wait_for_event
from galaxy_kernel.context import Shared
from galaxy_kernel.database import Database, is_unavailable, make_engine, reason, schema_of
from galaxy_kernel.errors import BootError, PhaseError, PluginError
from galaxy_kernel.facts import Facts
from galaxy_kernel.http.server import HttpServer
from galaxy_kernel.kernel_settings import KernelSettings
from galaxy_kernel.logs import flush, get_logger, loop_exception_handler
from galaxy_kernel.manifest import Health, Offer, Probe
from galaxy_kernel.probes import Probes
from galaxy_kernel.rpc import RpcServer
from galaxy_kernel.services import Services
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.workers import Supervisor

_log = get_logger("galaxy_kernel.lifecycle", plugin=KERNEL)

_STOP_FLOOR = 2.0
"""Seconds a plugin gets to stop even when draining has used up the whole time."""


class Kernel:
    """One backend process, or one of several in a test."""

    def __init__(self, assembly: Assembly, *, clock: Clock | None = None, random: random.Random | None = None) -> None:
        self.assembly = assembly
        self.settings: KernelSettings = assembly.kernel_settings
        self.clock = clock or SystemClock()
        self.random = random or secrets.SystemRandom()
        self.services = Services()
        self.probes = Probes(self.clock)
        self.phase = "starting"
        self.database: Database
        self.http: HttpServer
        self.rpc: RpcServer | None = None
        self._deadline = float("inf")
        self._stop = asyncio.Event()
        self._cleanup_errors: list[str] = []
        self._crash: BaseException | None = None

    def stop(self) -> None:
        """Ask the service to stop; safe to call from a signal handler, and more than once."""
        self._stop.set()

    async def serve(self, on_ready: "Callable[[Kernel], None] | None" = None) -> int:
        """Run until stopped by a signal, and give the exit status. Raises BootError when it cannot come up."""
        self._install_signals()
        try:
            async with self.running():
                if on_ready is not None:
                    on_ready(self)
                await self._stop.wait()
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise
        if self._crash is not None:
            raise PhaseError(KERNEL, "a background task", self._crash)
        return 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Kernel"]:
        """Come up, be ready, and go down in order."""
        stack = AsyncExitStack()
        try:
            async with stack:
                await self._start(stack)
                yield self
        except BootError as error:
            if self._cleanup_errors:
                cleanup = "; ".join(self._cleanup_errors)
                error.args = (f"{error}; additionally, cleanup: {cleanup}", *error.args[1:])
            raise
        finally:
            self.phase = "stopped"

    async def _start(self, stack: AsyncExitStack) -> None:
        plugins, settings = self.assembly.plugins, self.settings
        self.assembly.configuration.check("serve")
        self._add_probes()
        stack.callback(self.assembly.telemetry.shutdown, 2.0)
        self.assembly.telemetry.start()
        self.http = make_http(self)
        await self.http.start()
        stack.push_async_callback(self.http.close)
        self.database = self._open_database(settings.dsn)
        stack.push_async_callback(self.database.close)
        await self._reach_postgres()
        await schema.bring_up(self.database, plugins, apply=settings.migrate_on_start)
        self.phase = "building"
        wakeups = Wakeups(self.database)
        self.background(stack, wakeups.run(), "wakeups")
        shared = self.assembly.shared = Shared(
            database=self.database,
            facts=Facts(self.database, wakeups, self.clock, self.random),
            wakeups=wakeups,
            services=self.services,
            clock=self.clock,
            random=self.random,
            secret_key=settings.secret,
        )
        for name, lifespan in plugins.call("backend_lifespan"):
            await self._enter(stack, name, lifespan)
        await build(self, shared, stack)
        self.phase = "ready"
        self.probes.forget()
        _log.info("ready", address=self.http.address, plugins=list(plugins.names))

    def _open_database(self, dsn: str) -> Database:
        engine = make_engine(
            dsn,
            pool_size=self.settings.postgres_pool_size,
            statement_timeout=self.settings.postgres_statement_timeout.total_seconds(),
        )
        return Database(engine, schema_of(dsn))

    async def _reach_postgres(self) -> None:
        """Wait for Postgres, however long it takes: `/readyz` says what is missing meanwhile."""
        delay = 0.1
        while True:
            try:
                return await self.database.ping()
            except Exception as error:
                if not is_unavailable(error):
                    raise PhaseError(KERNEL, "connecting to Postgres (BACKEND_POSTGRES_DSN)", error) from error
                _log.warning("postgres_unavailable", retry_in_seconds=delay, reason=reason(error))
            await wait_for_event(self._stop, delay)
            delay = min(2.0, delay * 2)

    async def _enter(self, stack: AsyncExitStack, name: str, lifespan: Any) -> None:
        try:
            offers = await lifespan.__aenter__()
        except Exception as error:
            raise PhaseError(name, "backend_lifespan", error) from error
        stack.push_async_callback(self._leave, name, lifespan)
        self._take_offers(name, offers)

    def _take_offers(self, name: str, offers: Sequence[Offer[Any]] | None) -> None:
        manifest = next(found.manifest for found in self.assembly.found if found.name == name)
        offered = [offer.capability for offer in offers or ()]
        if set(offered) != set(manifest.provides):
            raise PluginError(
                f"plugin {name!r} offers {[each.name for each in offered]} from its lifespan but lists "
                f"{[each.name for each in manifest.provides]} in its manifest: the two must be the same"
            )
        for offer in offers or ():
            self.services.offer(name, offer.capability, offer.implementation)

    async def _leave(self, name: str, lifespan: Any) -> None:
        remaining = max(_STOP_FLOOR, self._deadline - self.clock.monotonic())
        try:
            async with asyncio.timeout(None if remaining == float("inf") else remaining):
                await lifespan.__aexit__(None, None, None)
        except Exception as error:  # one plugin's failure to stop must not keep the others from stopping
            self._cleanup_errors.append(f"plugin {name!r}: {type(error).__name__}: {error}")
            _log.error("plugin_stop_failed", plugin=name, exc_info=error)
        finally:
            self.services.withdraw(name)

    async def drain(self, supervisor: Supervisor) -> None:
        """Finish what is in hand within `BACKEND_SHUTDOWN_TIMEOUT`: requests, calls and worker batches."""
        self.phase = "draining"
        self.probes.forget()
        timeout = self.settings.shutdown_timeout.total_seconds()
        self._deadline = self.clock.monotonic() + timeout
        _log.info("draining", timeout_seconds=timeout)
        rpc = self.rpc.stop(timeout) if self.rpc is not None else asyncio.sleep(0)
        _, late, _ = await asyncio.gather(self.http.drain(timeout), supervisor.drain(timeout), rpc)
        if late:
            _log.warning("workers_cancelled", workers=late)

    def background(self, stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run one of the kernel's own endless tasks; should it end by itself, the service stops with an error."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._background_ended)

        async def cancel() -> None:
            task.remove_done_callback(self._background_ended)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(cancel)

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._crash = task.exception() or RuntimeError(f"task {task.get_name()!r} ended")
            _log.critical("background_task_ended", task=task.get_name(), exc_info=task.exception())
            self.stop()

    def _add_probes(self) -> None:
        async def phase() -> Health:
            return Health() if self.phase == "ready" else Health("failed", self.phase)

        async def postgres() -> Health:
            if not hasattr(self, "database"):
                return Health("failed", "not connected yet")
            try:
                await self.database.ping()
            except Exception as error:
                if not is_unavailable(error):
                    raise
                return Health("failed", "Postgres does not answer: see the logs, and BACKEND_POSTGRES_DSN")
            return Health()

        async def migrations() -> Health:
            done = self.phase in ("building", "ready", "draining")
            return Health() if done else Health("failed", "not applied yet")

        checks = {"lifecycle": phase, "postgres": postgres, "migrations": migrations}
        self.probes.add(KERNEL, [Probe(name, check, gates="ready") for name, check in checks.items()])

    def _install_signals(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        loop.set_exception_handler(loop_exception_handler)

        def on_signal() -> None:
            if self._stop.is_set():  # the second signal: stop at once
                flush()
                os._exit(1)
            self.stop()
            if self.phase in ("starting", "building") and task is not None:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
