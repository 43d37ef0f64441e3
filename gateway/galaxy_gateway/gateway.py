"""The life of one gateway process: listen, connect, ready, drain, stop.

The listener is bound first, so that probers get an answer from the beginning. The backend, Redis and the stream of
events may be away at any time, at the start too: `/readyz` shows it, and what does not need them goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random, SystemRandom

from aiohttp.web import BaseRequest

from galaxy_chassis.clock import Clock, SystemClock
from galaxy_chassis.config.loading import Configuration, load, read_environment
from galaxy_chassis.config.process import is_strict
from galaxy_chassis.errors import BootError
from galaxy_chassis.health import Health, Probe, Probes
from galaxy_chassis.http.client_address import TrustedPeers
from galaxy_chassis.http.connections import ConnectionLimits
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse
from galaxy_chassis.http.server import HttpServer
from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.logs import get_logger, loop_exception_handler
from galaxy_chassis.process import BackgroundTasks, handle_stop_signals
from galaxy_chassis.telemetry import make_telemetry
from galaxy_chassis.telemetry.metrics import CHECK_STATE
from galaxy_chassis.watchdog import LoopWatchdog
from galaxy_gateway import metrics
from galaxy_gateway.callers import Caller, Callers
from galaxy_gateway.calls import Calls
from galaxy_gateway.cookies import CookieSessions
from galaxy_gateway.cors import Cors
from galaxy_gateway.edge import Edge
from galaxy_gateway.forwarding.backends import Backends
from galaxy_gateway.idempotency.idempotency import Idempotency
from galaxy_gateway.idempotency.metrics import IdempotencyMetrics
from galaxy_gateway.idempotency.sealing import Sealer
from galaxy_gateway.introspection import introspect
from galaxy_gateway.limits.limits import Limits
from galaxy_gateway.limits.metrics import LimitMetrics
from galaxy_gateway.limits.policies import Policies
from galaxy_gateway.operations import Operations
from galaxy_gateway.pages import Pages
from galaxy_gateway.settings import GATEWAY, GatewaySettings
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.names import Names
from galaxy_gateway.store.opening import open_store, store_probe
from galaxy_gateway.streams.metrics import Metrics as StreamMetrics
from galaxy_gateway.streams.streams import Streams
from galaxy_gateway.tls import authorities, certificate

_GRACE = 5.0
"""Seconds after which a request is given up whose call has reached its own limit: that one says more."""

_log = get_logger("galaxy_gateway.gateway", plugin=GATEWAY)


def configure(
    environment: Mapping[str, str] | None = None, *, overlay: Mapping[str, str] | None = None
) -> Configuration:
    """Read the configuration; faults are found by its `check`. Raise ConfigurationError for an unreadable env file."""
    raw = read_environment(environment, root="GATEWAY_", overlay=overlay)
    strict = is_strict(raw["GATEWAY_CONFIG_STRICT"].text) if "GATEWAY_CONFIG_STRICT" in raw else True
    configuration = load({GATEWAY: GatewaySettings}, raw, root="GATEWAY_", strict=strict, program=GATEWAY)
    settings = configuration.groups.get(GATEWAY)
    told = settings.warnings if isinstance(settings, GatewaySettings) else ()
    return replace(configuration, warnings=(*configuration.warnings, *told))


class Gateway:
    """One gateway process, or one of several in a test. Made inside the event loop that runs it.

    Raise ConfigurationError when the settings are not fit to serve.
    """

    def __init__(
        self, configuration: Configuration, *, clock: Clock | None = None, random: Random | None = None
    ) -> None:
        configuration.check("serve")
        settings = self.settings = configuration.settings_of(GATEWAY, GatewaySettings)
        self._clock = clock or SystemClock()
        self.probes = Probes(self._clock)
        self.phase = "starting"
        self._stop = asyncio.Event()
        self._tasks = BackgroundTasks(on_crash=self.stop)
        self._telemetry = make_telemetry(settings, "galaxy-gateway")
        self._token = settings.gateway_token
        self._peers = TrustedPeers(settings.trusted_proxies)
        self._certificate = certificate(settings.tls_certificate, settings.tls_key)
        timeout = settings.request_timeout.total_seconds()
        self._backends = Backends(
            settings.backend_url,
            timeout=timeout,
            clock=self._clock,
            tls=authorities(settings.backend_ca, "GATEWAY_BACKEND_CA"),
        )
        self._store = open_store(settings.redis_url.get_secret_value(), self._clock)
        self._callers = Callers(self._introspect, self._clock)
        self._streams = Streams(
            settings.stream,
            token=self._token,
            push_addresses=settings.push_addr,
            clock=self._clock,
            random=random or SystemRandom(),
            metrics=StreamMetrics(self._telemetry.meter("galaxy_gateway.streams")),
        )
        self._streams.on_revoked.append(self._callers.forget)
        self._streams.on_reset.append(self._callers.forget_all)
        self.server = HttpServer(
            settings.listen_addr,
            self._serve,
            request_timeout=timeout + _GRACE,
            limits=self._connections(),
            tls=None if self._certificate is None else self._certificate.context,
            variable="GATEWAY_LISTEN_ADDR",
        )
        self._calls, self._edge = self._make_edge()
        self._add_probes()
        self._observe()

    def _make_edge(self) -> tuple[Calls, Edge]:
        settings, secret = self.settings, self._token.encode()
        names, meter, operations = Names(secret), self._telemetry.meter("galaxy_gateway"), Operations()
        cookie_sessions = CookieSessions(settings.cookie_origins)
        calls = Calls(
            self._backends,
            Idempotency(self._store, names, Sealer(secret), IdempotencyMetrics(meter)),
            operations,
            self.server.in_flight,
            token=self._token,
            max_body=settings.max_body,
            cookie_sessions=cookie_sessions,
        )
        edge = Edge(
            self.server,
            calls,
            self._streams,
            callers=self._callers,
            policies=Policies(settings.limit),
            limits=Limits(self._store, MemoryStore(self._clock), names, LimitMetrics(meter)),
            operations=operations,
            peers=self._peers,
            cors=Cors(settings.cors_origins, settings.cookie_origins),
            cookie_sessions=cookie_sessions,
            telemetry=HttpTelemetry(self._telemetry, "http" if self._certificate is None else "https"),
            pages=Pages.installed(),
        )
        return calls, edge

    def _connections(self) -> ConnectionLimits:
        return ConnectionLimits(
            total=self.settings.max_connections,
            per_client=self.settings.max_connections_per_client,
            is_proxy=self._peers.contains,
        )

    async def _serve(self, request: BaseRequest) -> AnyResponse:
        return await self._edge.serve(request)

    @property
    def address(self) -> str:
        """Where clients reach it, `HOST:PORT`."""
        return self.server.address

    def stop(self) -> None:
        """Ask the process to stop; safe to call from a signal handler, and more than once."""
        self._stop.set()

    async def serve(self, on_ready: "Callable[[Gateway], None] | None" = None) -> int:
        """Run until stopped by a signal, and return the exit status. Raise BootError when it cannot start."""
        asyncio.get_running_loop().set_exception_handler(loop_exception_handler)
        handle_stop_signals(self._stop, lambda: None)
        async with self.running():
            if on_ready is not None:
                on_ready(self)
            await self._stop.wait()
        if self._tasks.crash is not None:
            raise BootError(f"a background task of the gateway failed: {self._tasks.crash}") from self._tasks.crash
        return 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """Start, serve within the block, and stop."""
        async with AsyncExitStack() as stack:
            stack.enter_context(
                LoopWatchdog(
                    {"galaxy_gateway": GATEWAY}, process=GATEWAY, on_delay=self._telemetry.note_loop_delay
                ).watching()
            )
            stack.callback(self._telemetry.shutdown, 2.0)
            self._telemetry.start()
            stack.push_async_callback(self._store.aclose)
            stack.push_async_callback(self._backends.close)
            self.server.serve_health(self.probes)
            await self.server.start()
            stack.push_async_callback(self.server.close)
            self._tasks.start(stack, self.probes.run(), "checks")
            self._tasks.start(stack, self._streams.run(), "live events")
            if self._certificate is not None:
                self._tasks.start(stack, self._certificate.follow(), "certificate")
            stack.push_async_callback(self._drain)
            self.phase = "ready"
            self.probes.forget()
            self.server.open()
            _log.info("service_started", address=self.address)
            yield self
        self.phase = "stopped"

    async def _drain(self) -> None:
        """Finish calls in progress, and end the streams, within `GATEWAY_SHUTDOWN_TIMEOUT`."""
        self.phase = "draining"
        self.probes.forget()
        timeout = self.settings.shutdown_timeout.total_seconds()
        _log.info("drain_started", timeout_seconds=timeout)
        await asyncio.gather(self.server.drain(timeout), self._streams.drain(timeout), self._calls.drain(timeout))

    async def _introspect(self, token: str) -> Caller | None:
        return await introspect(self._backends, self._token, token)

    def _add_probes(self) -> None:
        async def phase() -> Health:
            return Health() if self.phase == "ready" else Health("failed", self.phase)

        async def backend() -> Health:
            try:
                await self._introspect("")
            except Problem as problem:
                return Health("failed", problem.detail)
            return Health()

        checks = [Probe("lifecycle", phase, gates="ready"), Probe("backend", backend), store_probe(self._store)]
        self.probes.add(GATEWAY, [*checks, Probe("live_events", self._streams.probe)])

    def _observe(self) -> None:
        meter = self._telemetry.meter("galaxy_gateway")
        metrics.CONNECTIONS.observe(meter, lambda: self.server.connections)
        metrics.CONNECTIONS_ENDED.observe(meter, lambda: self.server.connections_ended)
        metrics.BACKEND_FAILURES.observe(meter, lambda: self._backends.failures)
        CHECK_STATE.observe(meter, self.probes.states)
