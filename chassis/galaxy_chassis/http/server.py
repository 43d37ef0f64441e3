"""The HTTP listener: it binds, answers probes in every state, and hands every other request to one handler."""

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import msgspec
from aiohttp.web import BaseRequest, ServerRunner

from galaxy_chassis.config.settings import split_address
from galaxy_chassis.errors import BootError
from galaxy_chassis.health import Probes, without_details
from galaxy_chassis.http.client_address import FORWARDING, is_private
from galaxy_chassis.http.connections import ConnectionLimits
from galaxy_chassis.http.handshakes import TlsListener, listening_sockets
from galaxy_chassis.http.inflight import InFlightRequests
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.protocol import Connection, ConnectionFactory
from galaxy_chassis.http.response import AnyResponse, RawResponse, json_response, problem_response
from galaxy_chassis.request_context import new_request_id

LONGEST_HEAD = 16_384
"""Bytes of a request's headers together: whoever is behind the listener has to read them too."""
_BACKLOG = 1024
_SOON = {"Retry-After": "1"}
_ABORT_WITHIN = 1.0
"""Seconds a request that is aborted may take to clean up."""

Fixed = Callable[[BaseRequest, str], Awaitable[RawResponse]]
"""Answers GET on one path in every state of the server; called with the request and its id."""
ProbeDocument = Callable[[], Awaitable[tuple[int, Mapping[str, Any]]]]
"""Return the status and the document of `/healthz` or `/readyz`."""


class HttpServer:
    """The listener. States: made → started → open → draining → closed.

    In each it provides what to answer (`refusal`, `fixed`), which the handler, called by aiohttp for every request,
    looks up. Made inside the event loop that runs it.
    """

    def __init__(
        self,
        listen_address: str,
        handler: Callable[[BaseRequest], Awaitable[AnyResponse]],
        *,
        request_timeout: float = 15.0,
        longest_head: int = LONGEST_HEAD,
        limits: ConnectionLimits | None = None,
        tls: ssl.SSLContext | None = None,
        sees_details: Callable[[BaseRequest], bool] | None = None,
        variable: str = "BACKEND_HTTP_LISTEN_ADDR",
    ) -> None:
        """Create a server that does not listen yet; `request_timeout` in seconds, `longest_head` in bytes.

        With `tls` it speaks HTTPS alone. `variable` is the setting that `listen_address` comes from, for the message
        when it is taken. `sees_details` decides who sees the details of checks, which name hosts and errors: without
        it, callers of private addresses.
        """
        self._sees_details = sees_details or _from_private_network
        self._limits, self._tls = limits or ConnectionLimits(), tls
        self._listen_address, self._variable, self._handler = listen_address, variable, handler
        self._request_timeout, self._longest_head = request_timeout, longest_head
        self.in_flight = InFlightRequests(asyncio.get_running_loop(), request_timeout, self._late)
        self.fixed: dict[str, Fixed] = {}
        """What answers a path in every state: probes, and the API's description once there is one."""
        self.refusal: Callable[[], Problem] | None = _starting
        """Why requests are turned away; None while they are served."""
        self._factory: ConnectionFactory | None = None
        self._runner: ServerRunner | None = None
        self._listener: asyncio.Server | TlsListener | None = None
        self.address = listen_address
        """Where it listens, `HOST:PORT`; once started, with the port it got."""

    async def start(self) -> None:
        """Listen. Raise BootError, naming the variable, when the address cannot be had."""
        factory = ConnectionFactory(self._answer, self._limits, self._longest_head)
        factory.guard.fit_descriptors()
        runner = ServerRunner(factory, shutdown_timeout=1.0)
        await runner.setup()
        try:
            self._listener = await self._listen(factory)
        except OSError as error:
            await runner.cleanup()
            raise self._not_bound(error) from error
        self._factory, self._runner = factory, runner
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def _answer(self, request: BaseRequest) -> AnyResponse:
        """Refuse a head that is too long, whatever it asks for; else hand over to the handler."""
        if cast("Connection", request.protocol).may_have_long_head and _head_size(request) > self._longest_head:
            detail = f"The request's headers are longer than {self._longest_head} bytes altogether."
            return problem_response(Problem(431, "headers_too_large", detail), new_request_id())
        return await self._handler(request)

    async def _listen(self, factory: ConnectionFactory) -> asyncio.Server | TlsListener:
        """Bind. Not by aiohttp's own site, whose TLS handshakes have no limits."""
        host, port = split_address(self._listen_address)
        if self._tls is None:
            return await asyncio.get_running_loop().create_server(factory, host, port, backlog=_BACKLOG)
        return TlsListener(await listening_sockets(host, port, _BACKLOG), factory, self._tls)

    def serve_probe(self, path: str, probe: ProbeDocument) -> None:
        """Answer GET on `path` with what `probe` returns, in every state of the server, without an access line.

        The details of its checks are for `sees_details`; others get name, plugin, state and since (SPEC K-4).
        """
        self.fixed[path] = _ProbeAnswer(probe, self._sees_details)

    def serve_health(self, probes: Probes) -> None:
        """Answer `/healthz` as long as the process lives, and `/readyz` with what the checks report (SPEC K-4)."""

        async def alive() -> tuple[int, Mapping[str, Any]]:
            return 200, {"status": "alive"}

        async def readiness() -> tuple[int, Mapping[str, Any]]:
            ready, body = await probes.report()
            return (200 if ready else 503), body

        self.serve_probe("/healthz", alive)
        self.serve_probe("/readyz", readiness)

    def open(self) -> None:
        """Serve requests from now on."""
        self.refusal = None

    async def drain(self, timeout: float) -> bool:
        """Accept no more requests and finish those in progress, within `timeout` seconds; return whether all finished.

        Requests that do not finish are answered 503 `stopping`. The listener stays open until `close`, so that probers
        and clients get an answer meanwhile rather than a refused connection.
        """
        self.refusal = _stopping
        if self._runner is None:
            return True
        finished = await self.in_flight.wait_idle(timeout)
        if not finished:
            self.in_flight.abort(_stopping())
            await self.in_flight.wait_idle(_ABORT_WITHIN)
        return finished

    async def close(self) -> None:
        """Close the listener and every connection. Safe to call in any state, and more than once."""
        runner, self._runner = self._runner, None
        self.refusal = _stopping
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if runner is not None:
            await runner.cleanup()
            self.in_flight.close()
        if self._factory is not None:
            self._factory.guard.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return 0 if self._factory is None else len(self._factory.guard)

    @property
    def connections_ended(self) -> Mapping[str, int]:
        """How many connections the limits have ended, by reason (`connections.REASONS`), since the start."""
        return {} if self._factory is None else self._factory.guard.ended

    def _late(self) -> Problem:
        detail = f"The request was not answered within {self._request_timeout:g} s and was given up."
        return Problem(503, "timeout", detail, headers={"Retry-After": "1"})

    def _not_bound(self, error: OSError) -> BootError:
        where = f"{self._variable}: cannot listen on {self._listen_address}"
        if error.errno == errno.EADDRINUSE:
            return BootError(f"{where}: another process has that port; stop it or choose another port")
        return BootError(f"{where}: {error.strerror or error}; choose an address of this machine")


def _head_size(request: BaseRequest) -> int:
    lines = request.raw_headers
    return sum(map(len, chain.from_iterable(lines))) + 4 * len(lines)  # a colon, a space and the line's end


async def answer_fixed(request: BaseRequest, fixed: Fixed) -> AnyResponse:
    """Answer a path that exists in every state."""
    request_id = new_request_id()
    if request.method not in ("GET", "HEAD"):
        return problem_response(method_not_allowed(("GET", "HEAD")), request_id)
    return await fixed(request, request_id)


class _ProbeAnswer:
    """Answers one probe, with the details or without."""

    def __init__(self, probe: ProbeDocument, sees_details: Callable[[BaseRequest], bool]) -> None:
        self._probe, self._sees_details = probe, sees_details

    async def __call__(self, request: BaseRequest, request_id: str) -> RawResponse:
        status, document = await self._probe()
        shown = document if self._sees_details(request) else without_details(document)
        return json_response(status, msgspec.json.encode(shown), request_id)


def _from_private_network(request: BaseRequest) -> bool:
    """Return whether a request comes from a private address, and through no proxy, which would hide its sender."""
    forwarded = any(name in request.headers for name in FORWARDING)
    return not forwarded and is_private(request.remote or "")


def method_not_allowed(allowed: Sequence[str]) -> Problem:
    """Return the problem for a method that the path does not take (RFC 9110, 15.5.6)."""
    methods = ", ".join(allowed)
    return Problem(405, "method_not_allowed", f"This path takes {methods}.", headers={"Allow": methods})


def _starting() -> Problem:
    return Problem(503, "starting", "The service is starting: /readyz says what is missing.", headers=_SOON)


def _stopping() -> Problem:
    return Problem(503, "stopping", "The service is stopping: another replica will answer.", headers=_SOON)
