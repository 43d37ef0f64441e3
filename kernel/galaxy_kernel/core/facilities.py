"""The facilities that plugins contribute to: collects and checks contributions, warms caches, starts workers."""

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from galaxy_chassis.clock import Clock
from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.health import Health, Probe, Probes
from galaxy_chassis.http.client_address import TrustedPeers
from galaxy_chassis.http.connections import ConnectionLimits
from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.logs import get_logger
from galaxy_chassis.process import BackgroundTasks
from galaxy_kernel.caches.feed import Feed
from galaxy_kernel.caches.registry import Caches
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core import metrics
from galaxy_kernel.core.assembly import KERNEL, Assembly, all_routes
from galaxy_kernel.core.context import KernelResources
from galaxy_kernel.database.clock import DatabaseClock
from galaxy_kernel.errors import PhaseError, PluginError
from galaxy_kernel.http.access import AccessControl
from galaxy_kernel.http.service import HttpService
from galaxy_kernel.rpc.server import RpcServer
from galaxy_kernel.workers.measurements import Measurements
from galaxy_kernel.workers.supervisor import Supervised, Supervisor
from galaxy_kernel.workers.worker import Worker

_TRIM_INTERVAL = timedelta(minutes=5)


class Facilities:
    """The facilities of one kernel. The kernel calls them, never the reverse."""

    def __init__(
        self,
        assembly: Assembly,
        *,
        clock: Clock,
        random: random.Random,
        services: CapabilityRegistry,
        probes: Probes,
        tasks: BackgroundTasks,
    ) -> None:
        self._assembly, self._settings = assembly, assembly.kernel_settings
        self._clock, self._random = clock, random
        self._probes, self._tasks = probes, tasks
        self._supervisor: Supervisor | None = None
        self.rpc: RpcServer | None = None
        """The gRPC listener, once built, where a plugin contributes a service."""
        proxies = TrustedPeers(self._settings.trusted_proxies)
        self.http = HttpService(
            self._settings.http_listen_addr,
            access=AccessControl(
                services,
                gateway_token=self._settings.token,
                trusted_proxies=self._settings.trusted_proxies,
                admin_networks=self._settings.admin_networks,
            ),
            request_timeout=self._settings.http_request_timeout.total_seconds(),
            max_body=self._settings.http_max_body,
            limits=ConnectionLimits(
                total=self._settings.http_max_connections,
                per_client=self._settings.http_max_connections_per_client,
                is_proxy=proxies.contains,
            ),
            observer=HttpTelemetry(assembly.telemetry),
        )

    async def listen(self) -> None:
        """Bind the HTTP listener, which answers probes from now on. Raise BootError when it cannot."""
        self.http.server.serve_health(self._probes)
        await self.http.server.start()

    async def build(self, resources: KernelResources) -> AsyncExitStack:
        """Collect what the plugins contribute, check it, warm the caches and start everything.

        Return the stack that undoes it. Raise BootError, with everything undone.
        """
        async with AsyncExitStack() as stack:
            await self._build(resources, stack)
            return stack.pop_all()

    async def _build(self, resources: KernelResources, stack: AsyncExitStack) -> None:
        plugins, probes = self._assembly.plugins, self._probes
        feed = Feed(resources.database)
        caches = self._make_caches(resources, feed)
        for name, contributed in plugins.call("backend_caches"):
            caches.register(name, contributed)
        for name, subscriptions in plugins.call("backend_subscriptions"):
            resources.facts.subscribe(name, subscriptions)
        resources.facts.seal()
        routes = all_routes(self._assembly, probes.report)
        self.rpc = self._make_rpc()
        supervisor = self._supervise(resources, feed)
        for name, probe in plugins.contributions("backend_probes"):
            probes.add(name, [probe])
        for name, probe in [*caches.probes(), *supervisor.probes(), (KERNEL, resources.facts.probe())]:
            probes.add(name, [probe])
        meter = self._assembly.telemetry.meter("galaxy_kernel")
        metrics.observe_database(meter, resources.database)
        metrics.observe_listeners(meter, self.http, self.rpc)
        metrics.observe_work(meter, supervisor, caches)
        await _warm(caches)
        self._tasks.start(stack, caches.run(), "caches")
        self.http.install(routes)
        if self.rpc is not None:
            probes.add(KERNEL, [_listener_probe(self.rpc)])
            await self.rpc.start()
            stack.push_async_callback(self.rpc.stop, 0.0)
        self._supervisor = supervisor
        stack.push_async_callback(supervisor.drain, 0.0)
        supervisor.start()

    async def drain(self, timeout: float) -> None:
        """Finish requests, calls and passes of workers within `timeout` seconds."""
        rpc = self.rpc.stop(timeout) if self.rpc is not None else asyncio.sleep(0)
        workers = self._supervisor.drain(timeout) if self._supervisor is not None else asyncio.sleep(0, [])
        await asyncio.gather(self.http.server.drain(timeout), workers, rpc)

    def _make_caches(self, resources: KernelResources, feed: Feed) -> Caches:
        database, wakeups, clock = resources.database, resources.wakeups, self._clock
        if not isinstance(clock, DatabaseClock):
            return Caches(database, feed, wakeups, clock)
        self._probes.add(KERNEL, [Probe("clock", clock.check)])
        return Caches(database, feed, wakeups, clock, on_time=clock.observe)

    def _make_rpc(self) -> RpcServer | None:
        services = self._assembly.plugins.contributions("backend_rpc")
        if not services:
            return None
        return RpcServer(
            self._settings.push_listen_addr,
            token=self._settings.token,
            services=services,
            observer=self._assembly.telemetry.rpc_span,
        )

    def _supervise(self, resources: KernelResources, feed: Feed) -> Supervisor:
        log = get_logger("galaxy_kernel.workers")
        measurements = Measurements(
            metrics.MEASURE_WORKER,
            partial(metrics.measure_facts, resources.facts),
            metrics.MEASURED,
            database=resources.database,
            meter=self._assembly.telemetry.meter("galaxy_kernel"),
            log=log.bind(plugin=KERNEL),
        )
        workers = [
            *self._assembly.plugins.contributions("backend_workers"),
            *resources.facts.workers(),
            (KERNEL, Worker("kernel.feed_trim", feed.trim, _TRIM_INTERVAL)),
            (KERNEL, measurements.worker()),
        ]
        _check_names(workers)
        return Supervisor(
            Supervised(
                plugin,
                worker,
                database=resources.database,
                wakeups=resources.wakeups,
                clock=self._clock,
                random=self._random,
                log=log,
                span=self._assembly.telemetry.worker_span,
            )
            for plugin, worker in workers
        )


async def _warm(caches: Caches) -> None:
    try:
        await caches.load()
    except GalaxyError:
        raise
    except Exception as error:
        raise PhaseError(KERNEL, "loading the caches", error) from error


def _listener_probe(rpc: RpcServer) -> Probe:
    async def check() -> Health:
        fault = await rpc.fault()
        return Health("failed", fault) if fault else Health()

    return Probe("grpc_listener", check, gates="ready")


def _check_names(workers: list[tuple[str, Worker]]) -> None:
    owners: dict[str, str] = {}
    for plugin, worker in workers:
        if worker.name in owners:
            raise PluginError(
                f"plugin {plugin!r} has a worker {worker.name!r}, as plugin {owners[worker.name]!r} has: rename one"
            )
        owners[worker.name] = plugin
