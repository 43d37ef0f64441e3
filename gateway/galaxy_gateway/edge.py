"""The edge: one flat path from a client's request to its answer."""

import asyncio
from collections.abc import Mapping
from time import perf_counter

from aiohttp.web import BaseRequest
from multidict import CIMultiDict

from galaxy_chassis.http.client_address import TrustedPeers
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse, RawResponse, empty_response, problem_response
from galaxy_chassis.http.server import HttpServer, answer_fixed, method_not_allowed
from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.logs import get_logger, log_request
from galaxy_chassis.request_context import RequestContext, current_request, new_request_id
from galaxy_chassis.telemetry.spans import Trace
from galaxy_gateway.callers import Callers
from galaxy_gateway.calls import KEY, Calls
from galaxy_gateway.cookies import CookieSessions
from galaxy_gateway.cors import Cors, add
from galaxy_gateway.forwarding.targets import Target, parse
from galaxy_gateway.identity import bearer, client_address, well_formed
from galaxy_gateway.limits.limits import Limits
from galaxy_gateway.limits.policies import Policies, Policy
from galaxy_gateway.methods import METHODS, UNSAFE
from galaxy_gateway.operations import OTHER, Operations
from galaxy_gateway.pages import Pages
from galaxy_gateway.settings import GATEWAY
from galaxy_gateway.streams.streams import Streams
from galaxy_gateway.streams.websocket import bearer_token
from galaxy_gateway.visit import ORIGIN, Visit

EVENTS = "/api/v1/user/events"
LONGEST_HEAD = 16_384
"""Bytes of all headers of a request."""

_CLIENT_GONE = 499
"""nginx's status for a client that hung up before it was answered: for the log only."""

_log = get_logger("galaxy_gateway.edge", plugin=GATEWAY)


class Edge:
    """Handles every request of the listener."""

    def __init__(
        self,
        server: HttpServer,
        calls: Calls,
        streams: Streams,
        *,
        callers: Callers,
        policies: Policies,
        limits: Limits,
        operations: Operations,
        peers: TrustedPeers,
        cors: Cors,
        cookie_sessions: CookieSessions,
        telemetry: HttpTelemetry,
        pages: Pages,
    ) -> None:
        self._server, self._calls, self._streams, self._callers = server, calls, streams, callers
        self._policies, self._limits, self._operations = policies, limits, operations
        self._peers, self._cors, self._cookies, self._telemetry = peers, cors, cookie_sessions, telemetry
        self._pages = pages

    async def serve(self, request: BaseRequest) -> AnyResponse:
        """Answer a request."""
        fixed = self._server.fixed.get(request.raw_path)
        if fixed is not None:
            return await answer_fixed(request, fixed)
        started = perf_counter()
        context = RequestContext(new_request_id(), GATEWAY)
        current_request.set(context)
        trace = self._telemetry.begin(OTHER, {})  # a client does not decide whether its requests are traced
        if trace is not None:
            context.trace_id, context.span_id = trace.trace_id, trace.span_id
        visit = Visit(request, context, client_address(request.headers, request.remote or "", self._peers))
        visit.fields.update(self._cors.fields(request.headers.get(ORIGIN)))
        status = 500
        try:
            response = await self._answer(visit)
            status = response.status
        except Problem as problem:
            status = problem.status
            _check_not_begun(request, problem)
            response = _refused(visit, problem)
        except asyncio.CancelledError:
            status = _CLIENT_GONE
            raise
        except ConnectionError:  # of the client
            status = _CLIENT_GONE
            raise
        except Exception as error:
            _log.error("request_failed", exc_info=error)
            _check_not_begun(request, error)
            response = _refused(visit, _failed())
        finally:
            self._end(visit, trace, status, perf_counter() - started)
        if self._server.refusal is not None and isinstance(response, RawResponse):
            response.force_close()
        return response

    async def _answer(self, visit: Visit) -> AnyResponse:
        if self._server.refusal is not None:
            raise self._server.refusal()
        request = visit.request
        if request.method == "OPTIONS":
            return self._preflight(visit)
        if request.method not in METHODS:
            raise method_not_allowed(METHODS)
        _check_head(request)
        page = self._pages.answer(request.method, request.raw_path, request.headers, visit.context.request_id)
        if page is not None:
            return page
        visit.target = target = parse(request.raw_path)
        if target.path == EVENTS:
            return await self._stream(visit, target)
        return await self._server.in_flight.serve(self._call(visit, target))

    def _preflight(self, visit: Visit) -> RawResponse:
        granted = self._cors.preflight(visit.request.headers)
        if granted is None:
            raise method_not_allowed(METHODS)
        return empty_response(204, visit.context.request_id, granted)

    async def _call(self, visit: Visit, target: Target) -> AnyResponse:
        if target.access == "user":
            visit.token = self._token(visit)
        # an answer is repeated only to a caller whose session is known to stand
        if visit.token is not None and (self._streams.subscribed or KEY not in visit.request.headers):
            visit.caller = self._callers.known(visit.token)
        await self._admit(visit, target)
        return await self._calls.answer(visit, target)

    async def _admit(self, visit: Visit, target: Target) -> None:
        """Count the request, and ask who calls where that is not known: for its address first, whoever it is."""
        counted: Mapping[Policy, str] = {}
        if visit.caller is None and visit.token is not None:
            counted = await self._count(visit, self._policies.of_address(visit.address))
            visit.caller = await self._callers.ask(visit.token)
        policies = self._policies.of(visit.request.method, target.path, visit.address, visit.account_id)
        if counted:
            policies = {policy: key for policy, key in policies.items() if policy not in counted}
        await self._count(visit, policies)

    def _token(self, visit: Visit) -> str | None:
        """Return the token of a request's header, or of its cookie. Raise 403 `origin_refused` for a foreign page's."""
        request = visit.request
        token = bearer(request.headers)
        if token is None:
            token = self._cookies.token(request.method, request.headers)
            visit.by_cookie = token is not None
        return token

    async def _count(self, visit: Visit, keys: Mapping[Policy, str]) -> Mapping[Policy, str]:
        """Count the request under these policies, and return them. Raise 429, or 503 without the store."""
        verdict = await self._limits.check(keys, unsafe=visit.request.method in UNSAFE)
        for name, value in verdict.fields.items():
            visit.fields[name] = f"{visit.fields[name]}, {value}" if name in visit.fields else value
        if not verdict.allowed:
            raise verdict.problem()
        return keys

    async def _stream(self, visit: Visit, target: Target) -> AnyResponse:
        """Serve the live events. Whether the session still stands is asked at each connection."""
        request = visit.request
        if request.method != "GET":
            raise method_not_allowed(("GET",))
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        visit.token = (well_formed(bearer_token(request)) if is_websocket else None) or self._token(visit)
        await self._admit(visit, target)
        if visit.caller is None:
            raise _unauthenticated()
        caller, request_id = visit.caller, visit.context.request_id
        if not is_websocket:
            return await self._streams.serve_sse(request, caller, request_id, visit.fields, address=visit.address)
        allowed = self._cookies.allows if visit.by_cookie else self._cors.allows
        return await self._streams.serve_websocket(
            request, caller, request_id, visit.fields, origin_allowed=allowed, address=visit.address
        )

    def _end(self, visit: Visit, trace: Trace | None, status: int, seconds: float) -> None:
        method, target = visit.request.method, visit.target
        operation = OTHER if target is None else self._operations.known(method, target)
        self._telemetry.end(trace, operation, status, seconds)
        shown = method if method in METHODS or method == "OPTIONS" else "other"
        log_request(visit.context, shown, None if target is None else target.template, status, seconds)


def _check_head(request: BaseRequest) -> None:
    """Raise 431 for more than `LONGEST_HEAD` bytes of headers: each backend would have to read them too."""
    size = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if size > LONGEST_HEAD:
        detail = f"The request's headers are longer than {LONGEST_HEAD:,} bytes altogether."
        raise Problem(431, "headers_too_large", detail)


def _check_not_begun(request: BaseRequest, error: Exception) -> None:
    """Raise ConnectionResetError where an answer has begun: then the connection can only be closed."""
    if request.writer.output_size > 0:
        raise ConnectionResetError("the answer broke off") from error


def _refused(visit: Visit, problem: Problem) -> RawResponse:
    fields: CIMultiDict[str] = CIMultiDict(problem.headers)
    add(fields, visit.fields)
    problem.headers = dict(fields)
    return problem_response(problem, visit.context.request_id)


def _unauthenticated() -> Problem:
    detail = "This operation needs a session: send Authorization: Bearer with a session token that is still good."
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


def _failed() -> Problem:
    return Problem(500, "internal", "The gateway failed at this request. Quote the request_id to its operators.")
