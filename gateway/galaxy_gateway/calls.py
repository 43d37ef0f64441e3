"""Calls: forwarded to the backend, once for each Idempotency-Key.

A call with a key runs as a task of its own. Its client may hang up, be cut off, or give up at a limit of its own: the
answer is kept all the same, and the same key gets it.
"""

import asyncio

from aiohttp.web import BaseRequest
from multidict import CIMultiDict, istr

from galaxy_chassis.http.body import read
from galaxy_chassis.http.client import traceparent_of
from galaxy_chassis.http.inflight import InFlightRequests
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse
from galaxy_gateway import answers, cookies
from galaxy_gateway.answers import Answer
from galaxy_gateway.cookies import CookieSessions
from galaxy_gateway.forwarding.backends import BACKEND_TIMEOUT, Backends
from galaxy_gateway.forwarding.headers import GATEWAY_TOKEN, to_backend
from galaxy_gateway.forwarding.targets import Target
from galaxy_gateway.idempotency.call import Call
from galaxy_gateway.idempotency.idempotency import Idempotency, Replay
from galaxy_gateway.idempotency.keys import HEADER, parse_key
from galaxy_gateway.methods import UNSAFE
from galaxy_gateway.operations import Operations
from galaxy_gateway.visit import Visit

KEY = istr(HEADER)


class Calls:
    """Makes the calls that visits ask for."""

    def __init__(
        self,
        backends: Backends,
        idempotency: Idempotency,
        operations: Operations,
        in_flight: InFlightRequests,
        *,
        token: str,
        max_body: int,
        cookie_sessions: CookieSessions,
    ) -> None:
        """`token` is the gateway's, `max_body` in bytes."""
        self._backends, self._idempotency, self._operations = backends, idempotency, operations
        self._in_flight = in_flight
        self._token, self._max_body, self._cookies = token, max_body, cookie_sessions
        self._running: set[asyncio.Task[Answer]] = set()

    async def answer(self, visit: Visit, target: Target) -> AnyResponse:
        """Return the answer to a visit. Raise Problem."""
        request = visit.request
        wants_cookie = self._cookies.asked(request.method, target.path, request.headers)
        key = parse_key(request.headers.getall(KEY, ())) if request.method in UNSAFE else None
        body = await read(request, self._max_body)
        if key is not None and (visit.caller is not None or target.access == "public"):
            answer = await self._once(visit, target, key, body)
            return self._finished(visit, answer, wants_cookie=wants_cookie)
        method, safe = _method(request), request.method not in UNSAFE
        async with self._backends.call(method, target.raw, self._headers(visit), body, safe=safe) as response:
            self._operations.note(request.method, target, response.status)
            if not answers.is_short(response) and request.method != "HEAD":
                self._in_flight.lift_limit()  # a long answer takes as long as its client reads on
                return await answers.stream(response, request, visit.context.request_id, visit.fields)
            answer = await answers.whole(response)
        return self._finished(visit, answer, wants_cookie=wants_cookie)

    async def drain(self, timeout: float) -> None:
        """Wait for calls whose clients are gone, at most `timeout` seconds; then give them up."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _once(self, visit: Visit, target: Target, key: str, body: bytes) -> Answer:
        """Run a call, or return what its first run was answered. Raise Problem."""
        request = visit.request
        content_type = request.headers.get("Content-Type", "")
        call = Call(key, request.method, target.raw, visit.account_id, visit.address, content_type, body)
        task = asyncio.create_task(self._run(visit, target, call), name="idempotent call")
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its client is gone perhaps, and nobody else asks

    async def _run(self, visit: Visit, target: Target, call: Call) -> Answer:
        """Claim the key, forward the call, keep the answer.

        Where no answer came but the call is over, the key is free at once. One that may still run keeps its claim.
        """
        begun = await self._idempotency.begin(call)
        if isinstance(begun, Replay):
            return Answer(begun.status, CIMultiDict(begun.headers), begun.body)
        try:
            async with self._backends.call(call.method, target.raw, self._headers(visit), call.body) as response:
                self._operations.note(call.method, target, response.status)
                answer = await answers.whole(response)
        except Problem as problem:
            if problem.code != BACKEND_TIMEOUT:
                await self._idempotency.abandon(begun)
            raise
        headers = [(str(name), value) for name, value in answer.headers.items()]  # multidict's own strings before
        await self._idempotency.finish(begun, answer.status, headers, answer.body)
        return answer

    def _finished(self, visit: Visit, answer: Answer, *, wants_cookie: bool) -> AnyResponse:
        if wants_cookie and answer.status == 201:
            answer.body, answer.headers["Set-Cookie"] = cookies.moved_into_cookie(answer.body)
        elif visit.by_cookie and answer.status == 401:
            answer.headers["Set-Cookie"] = cookies.expired()
        return answer.response(visit.context.request_id, visit.fields)

    def _headers(self, visit: Visit) -> CIMultiDict[str]:
        """Return the headers for the backend: the client's that may pass, and what this process vouches for."""
        headers, context = to_backend(visit.request.headers), visit.context
        headers["X-Forwarded-For"] = visit.address
        headers[GATEWAY_TOKEN] = self._token
        headers["X-Request-Id"] = context.request_id
        if visit.token is not None:
            headers["Authorization"] = f"Bearer {visit.token}"
        if traceparent := traceparent_of(context.trace_id):
            headers["traceparent"] = traceparent
        return headers


def _method(request: BaseRequest) -> str:
    """Return the method for the backend: a HEAD is asked as GET, so that the length of its body is known."""
    return "GET" if request.method == "HEAD" else request.method
