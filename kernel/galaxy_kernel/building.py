"""From started plugins to a service that is ready: what they contribute is collected, checked and set going."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import QueuePool

from galaxy_kernel.assembly import KERNEL
from galaxy_kernel.caches import Caches
from galaxy_kernel.context import Shared
from galaxy_kernel.errors import GalaxyError, PhaseError, PluginError
from galaxy_kernel.feed import Feed
from galaxy_kernel.http.access import AccessControl
from galaxy_kernel.http.server import HttpServer
from galaxy_kernel.logs import get_logger
from galaxy_kernel.manifest import Health, Probe, Worker
from galaxy_kernel.probes import Probes
from galaxy_kernel.rpc import RpcServer
from galaxy_kernel.telemetry import HttpTelemetry
from galaxy_kernel.workers import Supervised, Supervisor

if TYPE_CHECKING:
    from galaxy_kernel.lifecycle import Kernel

_TRIM_INTERVAL = timedelta(minutes=5)


def make_http(kernel: "Kernel") -> HttpServer:
    """Make the HTTP server, with the probes it answers from the start."""
    settings = kernel.settings
    access = AccessControl(
        kernel.services,
        gateway_token=settings.token,
        trusted_proxies=settings.trusted_proxies,
    )
    server = HttpServer(
        settings.http_listen_addr,
        access=access,
        request_timeout=settings.http_request_timeout.total_seconds(),
        max_body=settings.http_max_body,
        observer=HttpTelemetry(kernel.assembly.telemetry),
    )
    server.serve_probe("/healthz", _alive)
    server.serve_probe("/readyz", _readiness(kernel.probes))
    return server


async def _alive() -> tuple[int, Mapping[str, Any]]:
    return 200, {"status": "alive"}


def _readiness(probes: Probes) -> Callable[[], Awaitable[tuple[int, Mapping[str, Any]]]]:
    async def answer() -> tuple[int, Mapping[str, Any]]:
        ready, body = await probes.report()
        return (200 if ready else 503), body

    return answer


async def build(kernel: "Kernel", shared: Shared, stack: AsyncExitStack) -> None:
    """Build, warm and start everything; on the way down `stack` drains it first of all."""
    plugins, probes = kernel.assembly.plugins, kernel.probes
    feed = Feed(shared.database)
    caches = Caches(shared.database, feed, shared.wakeups, kernel.clock)
    for name, contributed in plugins.call("backend_caches"):
        caches.register(name, contributed)
    for name, subscriptions in plugins.call("backend_subscriptions"):
        shared.facts.subscribe(name, subscriptions)
    shared.facts.assembled()
    routes = plugins.contributions("backend_routes")
    kernel.rpc = _make_rpc(kernel)
    supervisor = _supervise(kernel, shared, feed)
    for name, probe in plugins.contributions("backend_probes"):
        probes.add(name, [probe])
    for name, probe in [*caches.probes(), *supervisor.probes(), (KERNEL, shared.facts.probe())]:
        probes.add(name, [probe])
    _register_gauges(kernel)
    await _warm(caches)
    kernel.background(stack, caches.run(), "caches")
    kernel.http.install(routes)
    stack.push_async_callback(kernel.drain, supervisor)
    if kernel.rpc is not None:
        probes.add(KERNEL, [_listener_probe(kernel.rpc)])
        await kernel.rpc.start()
    supervisor.start()


async def _warm(caches: Caches) -> None:
    try:
        await caches.load()
    except GalaxyError:
        raise
    except Exception as error:
        raise PhaseError(KERNEL, "loading the caches", error) from error


def _make_rpc(kernel: "Kernel") -> RpcServer | None:
    services = kernel.assembly.plugins.contributions("backend_rpc")
    if not services:
        return None
    return RpcServer(
        kernel.settings.push_listen_addr,
        token=kernel.settings.token,
        services=services,
        observer=kernel.assembly.telemetry.rpc_span,
    )


def _register_gauges(kernel: "Kernel") -> None:
    """Have the metrics show what runs short first."""
    telemetry, pool = kernel.assembly.telemetry, kernel.database.engine.pool
    telemetry.gauge(
        "galaxy.postgres.connections.used",
        lambda: pool.checkedout() if isinstance(pool, QueuePool) else 0,
        unit="{connection}",
        description="Connections of the pool that are in use.",
    )


def _listener_probe(rpc: RpcServer) -> Probe:
    async def check() -> Health:
        return Health() if rpc.bound else Health("failed", "the gRPC listener is not bound")

    return Probe("grpc_listener", check, gates="ready")


def _supervise(kernel: "Kernel", shared: Shared, feed: Feed) -> Supervisor:
    workers = [
        *kernel.assembly.plugins.contributions("backend_workers"),
        *shared.facts.workers(),
        (KERNEL, Worker("kernel.feed_trim", feed.trim, _TRIM_INTERVAL)),
    ]
    owners: dict[str, str] = {}
    for plugin, worker in workers:
        if worker.name in owners:
            raise PluginError(
                f"plugin {plugin!r} has a worker {worker.name!r}, as plugin {owners[worker.name]!r} has: rename one"
            )
        owners[worker.name] = plugin
    log = get_logger("galaxy_kernel.workers")
    return Supervisor(
        Supervised(
            plugin,
            worker,
            database=shared.database,
            wakeups=shared.wakeups,
            clock=kernel.clock,
            random=kernel.random,
            log=log,
            span=kernel.assembly.telemetry.worker_span,
        )
        for plugin, worker in workers
    )
