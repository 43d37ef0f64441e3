"""The API above the listener: one flat path from a request to its answer."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from aiohttp.web import BaseRequest

from galaxy_chassis.http.connections import ConnectionLimits
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse, problem_response
from galaxy_chassis.http.server import LONGEST_HEAD, HttpServer, answer_fixed, method_not_allowed
from galaxy_chassis.logs import get_logger, log_request, log_unrouted_request
from galaxy_chassis.request_context import RequestContext, current_request
from galaxy_kernel.database.conditions import Conditions
from galaxy_kernel.http.access import AccessControl, Trust
from galaxy_kernel.http.docs import description_pages
from galaxy_kernel.http.endpoint import Endpoint
from galaxy_kernel.http.home import home_page, no_such_path
from galaxy_kernel.http.route import Route
from galaxy_kernel.http.router import NoSuchMethod, NoSuchPath, Router
from galaxy_kernel.http.routing import assemble

_log = get_logger("galaxy_kernel.http")

_ADDED = 4096
"""Bytes that a gateway or proxy may add to the longest head that it takes."""
_CLIENT_GONE = 499
"""nginx's status for a client that hung up before it was answered: for the log only."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KERNEL = "kernel"


class Trace(Protocol):
    """A request's span, where it is sampled."""

    @property
    def trace_id(self) -> str:
        """Hexadecimal, as OpenTelemetry writes it."""

    @property
    def span_id(self) -> str:
        """Hexadecimal."""


class HttpObserver(Protocol):
    """Observes every request that matched a route, inside the request's own context."""

    def begin(self, route: Route, headers: Mapping[str, str], *, trusted: bool) -> Any:
        """Begin a request; return its Trace when it is sampled, else None.

        The W3C `traceparent` in `headers` counts where the caller is trusted.
        """

    def end(self, trace: Any, route: Route, status: int, seconds: float) -> None:
        """End it with its answer; `trace` is what `begin` returned."""


class HttpService:
    """The plugins' routes on a listener of its own: probes from the start, the API once routes are installed."""

    def __init__(
        self,
        listen_address: str,
        *,
        access: AccessControl,
        request_timeout: float = 15.0,
        max_body: int = 262_144,
        limits: ConnectionLimits | None = None,
        observer: HttpObserver | None = None,
        variable: str = "BACKEND_HTTP_LISTEN_ADDR",
    ) -> None:
        """Make a service that does not listen yet: see HttpServer; `max_body` in bytes."""
        self.server = HttpServer(
            listen_address,
            self._serve,
            request_timeout=request_timeout,
            longest_head=LONGEST_HEAD + _ADDED,
            limits=limits,
            variable=variable,
            sees_details=lambda request: access.sees_details(request.headers, request.remote or ""),
        )
        self._access, self._max_body = access, max_body
        self._observer = observer
        self._conditions = Conditions(_log)
        self._fixed = self.server.fixed
        self._router: Router[Endpoint] = Router()
        self._in_flight = self.server.in_flight
        self.links: list[tuple[str, str]] = []
        """Label and URL of what the page at `/` links to besides the API's own pages."""

    @property
    def address(self) -> str:
        """Where it listens, `HOST:PORT`."""
        return self.server.address

    def install(self, routes: Sequence[tuple[str, Route]]) -> None:
        """Serve these routes, passed with their plugins' names, from now on. Raise PluginError for a bad one."""
        self._router = assemble(routes, max_body=self._max_body)
        self._fixed |= {**description_pages(routes), "/": home_page(self.links)}
        self.server.open()

    async def _serve(self, request: BaseRequest) -> AnyResponse:
        path = request.rel_url.raw_path
        fixed = self._fixed.get(path)
        if fixed is not None:
            return await answer_fixed(request, fixed)
        started = perf_counter()
        access, headers, peer = self._access, request.headers, request.remote or ""
        trust = access.trust(headers, peer)
        trusted = trust is not Trust.NONE
        context = RequestContext(access.request_id(headers, trusted=trusted), _KERNEL)
        current_request.set(context)
        route, trace, status = None, None, 500
        try:
            endpoint, segments = self._find(request.method, path)
            route, context.plugin = endpoint.route, endpoint.plugin
            trace = self._begin(route, headers, context, trusted=trusted)
            client_address = access.client_address(headers, peer, trust)
            answer = endpoint.answer(request, segments, access, context.request_id, client_address)
            response = await self._in_flight.serve(answer, partial(self._problem_of, endpoint))
            status = response.status
        except Problem as problem:
            response = problem_response(problem, context.request_id)
            status = response.status
        except asyncio.CancelledError:
            status = _CLIENT_GONE
            raise
        finally:
            self._end(request, route, context, trace, status, perf_counter() - started)
        if self.server.refusal is not None:
            response.force_close()
        return response

    def _begin(
        self, route: Route, headers: Mapping[str, str], context: RequestContext, *, trusted: bool
    ) -> Trace | None:
        if self._observer is None:
            return None
        trace: Trace | None = self._observer.begin(route, headers, trusted=trusted)
        if trace is not None:
            context.trace_id, context.span_id = trace.trace_id, trace.span_id
        return trace

    def _end(
        self,
        request: BaseRequest,
        route: Route | None,
        context: RequestContext,
        trace: Trace | None,
        status: int,
        seconds: float,
    ) -> None:
        if route is not None and self._observer is not None:
            self._observer.end(trace, route, status, seconds)
        method = request.method if request.method in _METHODS else "other"
        if route is None:
            log_unrouted_request(context, method, request.rel_url.raw_path, status, seconds)
        else:
            log_request(context, method, route.path, status, seconds)

    def _find(self, method: str, path: str) -> tuple[Endpoint, list[str]]:
        if self.server.refusal is not None:
            raise self.server.refusal()
        try:
            return self._router.find(method, path)
        except NoSuchPath:
            raise no_such_path() from None
        except NoSuchMethod as error:
            raise method_not_allowed(error.allowed) from None

    def _problem_of(self, endpoint: Endpoint, error: BaseException) -> Problem:
        """Return the problem for an unexpected exception, and log it under the request id."""
        condition = self._conditions.noted(error, route=endpoint.route.name)
        if condition is not None:
            headers = {"Retry-After": str(condition.retry_after)}
            return Problem(503, condition.code, condition.detail, headers=headers)
        _log.error("request_failed", plugin=endpoint.plugin, route=endpoint.route.name, exc_info=error)
        return Problem(500, "internal", "The service failed at this request. Quote the request_id to its operators.")
