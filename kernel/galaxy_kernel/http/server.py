"""The HTTP server: one flat path from the request line to the answer."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

import msgspec
from aiohttp.web import BaseRequest, ServerRunner, TCPSite

from galaxy_kernel.database import is_unavailable
from galaxy_kernel.errors import BootError
from galaxy_kernel.http.access import AccessControl
from galaxy_kernel.http.assembly import assemble
from galaxy_kernel.http.docs import description_pages
from galaxy_kernel.http.endpoint import Endpoint
from galaxy_kernel.http.flights import Flights
from galaxy_kernel.http.protocol import ConnectionFactory
from galaxy_kernel.http.response import Answered, Reply, json_response, problem_response
from galaxy_kernel.http.router import NoSuchMethod, NoSuchPath, Router
from galaxy_kernel.logs import get_logger, log_request
from galaxy_kernel.manifest import Route
from galaxy_kernel.problems import Problem
from galaxy_kernel.settings import split_address
from galaxy_kernel.work import Work, current, new_request_id

_log = get_logger("galaxy_kernel.http")

KEEPALIVE = 75.0
"""Seconds a connection may idle: more than the gateway keeps its own, so that the gateway closes first."""
_BACKLOG = 1024
_CLIENT_GONE = 499
"""nginx's status for a client that hung up before it was answered: for the log, nobody receives it."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_KERNEL = "kernel"
_SOON = {"Retry-After": "1"}
_CUT_SHORT_WITHIN = 1.0
"""Seconds a request that is cut short may take to clean up."""

Fixed = Callable[[str], Awaitable[Reply]]
"""Answers one path of the kernel's own; takes the request id."""
Probe = Callable[[], Awaitable[tuple[int, Mapping[str, Any]]]]
"""Gives the status and the document of `/healthz` or `/readyz`."""


class Trace(Protocol):
    """A request's span, where it is sampled."""

    @property
    def trace_id(self) -> str:
        """Hexadecimal, as OpenTelemetry writes it."""

    @property
    def span_id(self) -> str:
        """Hexadecimal."""


class HttpObserver(Protocol):
    """Hears of every request that matched a route, inside the request's own context."""

    def begin(self, route: Route, headers: Mapping[str, str]) -> Any:
        """Take note of a request; give its Trace when it is sampled (W3C `traceparent` in `headers`), else None."""

    def end(self, trace: Any, route: Route, status: int, seconds: float) -> None:
        """Take note of its answer; `trace` is what `begin` gave."""


class HttpServer:
    """The listener. It answers probes from the start, and the API once its routes are installed.

    States: made → started (probes; the rest 503 `starting`) → installed (everything) → draining (probes; the
    rest 503 `stopping`) → closed.
    """

    def __init__(
        self,
        listen_address: str,
        *,
        access: AccessControl,
        request_timeout: float = 15.0,
        max_body: int = 262_144,
        observer: HttpObserver | None = None,
        variable: str = "BACKEND_HTTP_LISTEN_ADDR",
    ) -> None:
        """Make a server that does not listen yet; `request_timeout` in seconds, `max_body` in bytes.

        `variable` is the setting that `listen_address` comes from, for the message when it is taken.
        """
        self._listen_address, self._variable = listen_address, variable
        self._access, self._max_body = access, max_body
        self._observer = observer
        self._fixed: dict[str, Fixed] = {}
        """What answers a path in every state: probes, and the API's description once there is one."""
        self._router: Router[Endpoint] = Router()
        self._refusal: Callable[[], Problem] | None = _starting
        """Why requests are turned away; None while they are served."""
        self._request_timeout = request_timeout
        self._flights: Flights
        self._runner: ServerRunner | None = None
        self.address = listen_address
        """Where it listens, `HOST:PORT`; once started, with the port it got."""

    async def start(self) -> None:
        """Listen; raises BootError, naming the variable, when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._flights = Flights(loop, self._request_timeout, self._late)
        runner = ServerRunner(ConnectionFactory(self._serve, keepalive_timeout=KEEPALIVE), shutdown_timeout=1.0)
        await runner.setup()
        host, port = split_address(self._listen_address)
        try:
            await TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except OSError as error:
            await runner.cleanup()
            raise self._not_bound(error) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def serve_probe(self, path: str, probe: Probe) -> None:
        """Answer GET on `path` with what `probe` gives, in every state of the server, without an access line."""

        async def answer(request_id: str) -> Reply:
            status, document = await probe()
            return json_response(status, msgspec.json.encode(document), request_id)

        self._fixed[path] = answer

    def install(self, routes: Sequence[tuple[str, Route]]) -> None:
        """Serve these routes, given with their plugins' names, from now on; raises PluginError."""
        self._router = assemble(routes, max_body=self._max_body)
        self._fixed |= description_pages(routes)
        self._refusal = None

    async def drain(self, timeout: float) -> bool:
        """Take no more requests and finish those in hand, within `timeout` seconds; give whether all were finished.

        What is not is answered 503 `stopping`. The listener stays open until `close`, so that probers and
        clients get an answer meanwhile rather than a refused connection.
        """
        self._refusal = _stopping
        if self._runner is None:
            return True
        finished = await self._flights.landed(timeout)
        if not finished:
            self._flights.cut_short(_stopping())
            await self._flights.landed(_CUT_SHORT_WITHIN)
        return finished

    async def close(self) -> None:
        """Close the listener and every connection. Safe to call in any state, and more than once."""
        runner, self._runner = self._runner, None
        self._refusal = _stopping
        if runner is not None:
            await runner.cleanup()
            self._flights.close()

    async def _serve(self, request: BaseRequest) -> Answered:
        path = request.rel_url.raw_path
        fixed = self._fixed.get(path)
        if fixed is not None:
            return await _answer_fixed(request, fixed)
        started = perf_counter()
        access, headers, peer = self._access, request.headers, request.remote or ""
        trusted = access.trusts(headers, peer)
        work = Work(access.request_id(headers, trusted=trusted), _KERNEL)
        current.set(work)
        route, trace, status = None, None, 500
        try:
            endpoint, segments = self._find(request.method, path)
            route, work.plugin = endpoint.route, endpoint.plugin
            trace = self._begin(route, headers, work)
            client_address = access.client_address(headers, peer, trusted=trusted)
            response = await self._answer(endpoint, request, segments, work, client_address)
            status = response.status
        except Problem as problem:
            response = problem_response(problem, work.request_id)
            status = response.status
        except asyncio.CancelledError:
            status = _CLIENT_GONE
            raise
        finally:
            self._end(request, route, work, trace, status, perf_counter() - started)
        if self._refusal is not None:
            response.force_close()
        return response

    def _begin(self, route: Route, headers: Mapping[str, str], work: Work) -> Trace | None:
        trace: Trace | None = None if self._observer is None else self._observer.begin(route, headers)
        if trace is not None:
            work.trace_id, work.span_id = trace.trace_id, trace.span_id
        return trace

    def _end(
        self, request: BaseRequest, route: Route | None, work: Work, trace: Trace | None, status: int, seconds: float
    ) -> None:
        if route is not None and self._observer is not None:
            self._observer.end(trace, route, status, seconds)
        method = request.method if request.method in _METHODS else "other"
        log_request(work, method, None if route is None else route.path, status, seconds)

    def _find(self, method: str, path: str) -> tuple[Endpoint, list[str]]:
        if self._refusal is not None:
            raise self._refusal()
        try:
            return self._router.find(method, path)
        except NoSuchPath:
            raise Problem(404, "not_found", "There is no such path: /docs lists those there are.") from None
        except NoSuchMethod as error:
            raise _not_allowed(error.allowed) from None

    async def _answer(
        self, endpoint: Endpoint, request: BaseRequest, segments: list[str], work: Work, client_address: str
    ) -> Answered:
        """Answer within the limit, whatever the handler raises; raises the Problem that is to be answered."""
        flights = self._flights
        flight = flights.begin()
        try:
            return await endpoint.answer(request, segments, self._access, work.request_id, client_address)
        except Problem:
            raise
        except asyncio.CancelledError as error:
            cut_short = flights.why_cut_short(flight)
            if cut_short is not None and flight.uncancel() == 0:
                raise cut_short from None
            if flight.cancelling():
                raise  # the client is gone
            # nobody cancelled this request: the handler let out a cancellation of something else
            raise _problem_of(error, endpoint) from None
        except Exception as error:
            raise flights.why_cut_short(flight) or _problem_of(error, endpoint) from None
        finally:
            flights.end(flight)

    def _late(self) -> Problem:
        detail = f"The request was not answered within {self._request_timeout:g} s and was given up."
        return Problem(503, "timeout", detail, headers={"Retry-After": "1"})

    def _not_bound(self, error: OSError) -> BootError:
        where = f"{self._variable}: cannot listen on {self._listen_address}"
        if error.errno == errno.EADDRINUSE:
            return BootError(f"{where}: another process has that port; stop it or choose another port")
        return BootError(f"{where}: {error.strerror or error}; choose an address of this machine")


async def _answer_fixed(request: BaseRequest, fixed: Fixed) -> Answered:
    request_id = new_request_id()
    if request.method not in ("GET", "HEAD"):
        return problem_response(_not_allowed(("GET", "HEAD")), request_id)
    return await fixed(request_id)


def _problem_of(error: BaseException, endpoint: Endpoint) -> Problem:
    """Give the answer for what a handler should not have raised, and log it for whoever is quoted the request id."""
    if is_unavailable(error):
        _log.warning("database_unavailable", route=endpoint.route.name, error=type(error).__name__)
        detail = "Postgres cannot be reached just now; nothing is known to have been changed. Try again."
        return Problem(503, "database_unavailable", detail, headers={"Retry-After": "2"})
    _log.error("request_failed", plugin=endpoint.plugin, route=endpoint.route.name, exc_info=error)
    return Problem(500, "internal", "The service failed at this request. Quote the request_id to its operators.")


def _not_allowed(allowed: Sequence[str]) -> Problem:
    methods = ", ".join(allowed)
    return Problem(405, "method_not_allowed", f"This path takes {methods}.", headers={"Allow": methods})


def _starting() -> Problem:
    return Problem(503, "starting", "The service is starting: /readyz says what is missing.", headers=_SOON)


def _stopping() -> Problem:
    return Problem(503, "stopping", "The service is stopping: another replica will answer.", headers=_SOON)
