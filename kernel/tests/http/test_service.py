"""The API over a real socket: its states, its limits, and what every answer carries."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.web import StreamResponse
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from galaxy_chassis import request_context
from galaxy_chassis.http.problems import not_found, throttled
from galaxy_devkit.testing.http import GATEWAY, Api, make_route
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.http.access import AccessControl
from galaxy_kernel.http.call import Call, RawJson, Response
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Route
from galaxy_kernel.http.service import HttpService

Serve = Callable[..., Awaitable[Api]]


class Thing(Model):
    name: str


async def thing() -> Thing:
    return Thing(name="näme")


async def accepted() -> Response[Thing]:
    return Response(Thing(name="n"), status=202, headers={"Location": "/elsewhere"})


async def nothing() -> None: ...


async def many() -> list[Thing]:
    return [Thing(name="a"), Thing(name="b")]


async def own() -> StreamResponse:
    return web.Response(text="as it is", status=203)


async def raw() -> Response[RawJson]:
    return Response(RawJson(b'{"b":1.0,  "a":1e400}'), headers={"ETag": '"1"'})


async def absent() -> Thing:
    raise not_found("thing")


async def hurried() -> Thing:
    raise throttled("Too many.", 1.2)


async def broken() -> Thing:
    raise ValueError("the secret of the traceback")


async def liar() -> Thing:
    return {"name": "n"}  # type: ignore[return-value] # that is the fault


async def cancelled() -> Thing:
    raise asyncio.CancelledError


async def without_database() -> Thing:
    raise OperationalError("SELECT 1", {}, ConnectionRefusedError(), connection_invalidated=True)


def at(handler: Callable[..., Awaitable[Any]], **options: Any) -> Route:
    """Make a route at a path of the handler's name."""
    return make_route(handler, path=f"/api/v1/public/{handler.__name__}", **options)


async def test_a_model_is_answered_as_json(serve: Serve) -> None:
    """The status is the route's, the document is the model's, and nothing may cache or sniff it."""
    answer = await (await serve(at(thing, status=201)))("GET", "/api/v1/public/thing")
    assert (answer.status, answer.json) == (201, {"name": "näme"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.headers["X-Request-Id"]) == 36
    assert "aiohttp" not in answer.headers["Server"]


async def test_an_answer_may_have_a_status_and_headers_of_its_own(serve: Serve) -> None:
    """`Response` adds a status and headers to the value."""
    answer = await (await serve(at(accepted)))("GET", "/api/v1/public/accepted")
    assert (answer.status, answer.json, answer.headers["Location"]) == (202, {"name": "n"}, "/elsewhere")


async def test_none_is_204_without_a_body(serve: Serve) -> None:
    """A 204 has neither a body nor a content type."""
    answer = await (await serve(at(nothing)))("GET", "/api/v1/public/nothing")
    assert (answer.status, answer.body) == (204, b"")
    assert "Content-Type" not in answer.headers


async def test_a_list_is_answered_as_one(serve: Serve) -> None:
    """Any type that pydantic serialises can be an answer."""
    assert (await (await serve(at(many)))("GET", "/api/v1/public/many")).json == [{"name": "a"}, {"name": "b"}]


async def test_a_response_of_the_handlers_own_is_sent_as_it_is(serve: Serve) -> None:
    """A handler annotated with a response makes it itself."""
    answer = await (await serve(at(own)))("GET", "/api/v1/public/own")
    assert (answer.status, answer.body) == (203, b"as it is")


async def test_a_document_that_exists_is_sent_byte_for_byte(serve: Serve) -> None:
    """JSON that somebody else wrote keeps its spaces and numbers, and gets the headers of every answer."""
    answer = await (await serve(at(raw)))("GET", "/api/v1/public/raw")
    assert (answer.status, answer.body) == (200, b'{"b":1.0,  "a":1e400}')
    assert (answer.headers["Content-Type"], answer.headers["ETag"]) == ("application/json", '"1"')
    assert len(answer.headers["X-Request-Id"]) == 36


async def test_head_is_get_without_the_body(serve: Serve) -> None:
    """HEAD has the length and no body."""
    answer = await (await serve(at(thing)))("HEAD", "/api/v1/public/thing")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "16")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/public/absent", 404, "not_found"),
        ("GET", "/api/v1/public/nowhere", 404, "not_found"),
        ("GET", "/api/v1/public/absent/", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("OPTIONS", "*", 404, "not_found"),
        ("DELETE", "/api/v1/public/absent", 405, "method_not_allowed"),
        ("TRACE", "/api/v1/public/absent", 405, "method_not_allowed"),
        ("GET", "/api/v1/public/hurried", 429, "too_many_requests"),
        ("GET", "/api/v1/public/broken", 500, "internal"),
        ("GET", "/api/v1/public/liar", 500, "internal"),
        ("GET", "/api/v1/public/cancelled", 500, "internal"),
        ("GET", "/api/v1/public/without_database", 503, "database_unavailable"),
    ],
)
async def test_every_error_is_a_problem_document(serve: Serve, method: str, path: str, status: int, code: str) -> None:
    """RFC 9457, with a code, the request id of the header, and no internals."""
    api = await serve(*map(at, (absent, hurried, broken, liar, cancelled, without_database)))
    raw = await exchange(api, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: application/problem+json" in head
    assert (document["status"], document["code"], document["type"]) == (status, code, "about:blank")
    assert f"X-Request-Id: {document['request_id']}".encode() in head
    assert b"secret" not in raw


class CodedError(Exception):
    """An error of a driver."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"as asked: {sqlstate}")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "status", "code"),
    [
        ("53100", 503, "database_unavailable"),
        ("53300", 503, "database_unavailable"),
        ("57P01", 503, "database_unavailable"),
        ("25006", 503, "database_unavailable"),
        ("57014", 503, "database_busy"),
        ("55P03", 503, "database_busy"),
        ("40001", 503, "database_busy"),
        ("40P01", 503, "database_busy"),
        ("22012", 500, "internal"),
    ],
)
async def test_what_passes_by_itself_is_503_with_one_line_a_minute(
    serve: Serve, sqlstate: str, status: int, code: str
) -> None:
    """The client is told to try again, and the log is not flooded; a fault of ours is 500, each with its traceback."""

    async def failing() -> None:
        raise CodedError(sqlstate)

    api = await serve(at(failing))
    with capture_logs() as lines:
        answers = [await api("GET", "/api/v1/public/failing") for _ in range(3)]
    assert {(each.status, each.json["code"], "Retry-After" in each.headers) for each in answers} == {
        (status, code, status == 503)
    }
    told = [line for line in lines if line["event"] in (code, "request_failed")]
    assert len(told) == (1 if status == 503 else 3)
    assert all(("exc_info" in line) is (status == 500) for line in told)
    if status == 503:
        assert (told[0]["sqlstate"], told[0]["reason"]) == (sqlstate, f"as asked: {sqlstate}")


async def exchange(api: Api, request: bytes) -> bytes:
    """Send bytes and return all that is received until the server closes."""
    host, _, port = api.server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_405_says_what_is_allowed_and_429_when_to_come_back(serve: Serve) -> None:
    """The headers that RFC 9110 demands are there."""
    api = await serve(at(thing), at(hurried))
    assert (await api("PUT", "/api/v1/public/thing")).headers["Allow"] == "GET, HEAD"
    assert (await api("GET", "/api/v1/public/hurried")).headers["Retry-After"] == "2"


async def test_a_failure_is_logged_with_its_plugin_and_traceback(serve: Serve) -> None:
    """The log has the reason under the request id."""
    api = await serve(at(broken))
    with capture_logs() as lines:
        await api("GET", "/api/v1/public/broken")
    (line,) = [line for line in lines if line["event"] == "request_failed"]
    assert (line["plugin"], line["route"]) == ("demo", "demo.broken")
    assert isinstance(line["exc_info"], ValueError)


async def test_every_request_but_probes_has_an_access_line(serve: Serve) -> None:
    """With the route's template in place of the path, which may hold personal data."""

    async def found(name: str) -> None: ...

    api = await serve(make_route(found, path="/api/v1/public/by-name/{name}"))
    api.server.serve_probe("/healthz", alive)
    with capture_logs() as lines:
        await api("GET", "/api/v1/public/by-name/olga@example.org")
        await api("GET", "/api/v1/public/olga@example.org")
        await api("GET", "/healthz")
    assert [(line["event"], line["method"], line["route"], line["status"]) for line in lines] == [
        ("request", "GET", "/api/v1/public/by-name/{name}", 204),
        ("request", "GET", None, 404),
    ]
    assert all(line["duration_ms"] >= 0 for line in lines)
    assert "olga" not in str(lines)


async def alive() -> tuple[int, Mapping[str, Any]]:
    return 200, {"status": "alive"}


async def not_ready() -> tuple[int, Mapping[str, Any]]:
    return 503, {"status": "starting"}


async def test_before_the_routes_are_installed_only_probes_answer() -> None:
    """The listener is up from the start: probes answer, the rest is 503 `starting` with Retry-After."""
    service = HttpService("127.0.0.1:0", access=AccessControl(CapabilityRegistry()))
    service.server.serve_probe("/healthz", alive)
    service.server.serve_probe("/readyz", not_ready)
    await service.server.start()
    async with RawApi(service) as api:
        assert (await api("GET", "/healthz")).status == 200
        assert (await api("HEAD", "/healthz")).body == b""
        assert (await api("POST", "/healthz")).status == 405
        assert (await api("GET", "/readyz")).json == {"status": "starting"}
        for path in ("/api/v1/public/thing", "/openapi.json", "/docs"):
            answer = await api("GET", path)
            assert (answer.status, answer.json["code"]) == (503, "starting")
            assert answer.headers["Retry-After"] == "1"
        service.install([("demo", at(thing))])
        assert (await api("GET", "/api/v1/public/thing")).status == 200


class RawApi(Api):
    """A client for a service that the test made itself."""

    def __init__(self, service: HttpService) -> None:
        from galaxy_devkit.testing.http import FakeAuditLog

        super().__init__(service, CapabilityRegistry(), FakeAuditLog())

    async def __aenter__(self) -> "RawApi":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.session.close()
        await self.server.close()


@dataclass
class Gate:
    """A handler that a test pauses."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> Thing:
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Thing(name="through")


def gated(gate: Gate) -> Route:
    """Make the route of a paused handler."""
    return make_route(gate, path="/api/v1/public/gate", name="demo.gate")


async def test_a_request_past_its_time_is_cancelled_and_answered(serve: Serve) -> None:
    """503 `timeout` is answered at the limit, and the handler is cancelled."""
    gate = Gate()
    api = await serve(gated(gate), request_timeout=0.05)
    answer = await api("GET", "/api/v1/public/gate")
    assert (answer.status, answer.json["code"]) == (503, "timeout")
    assert gate.cancelled.is_set()


async def test_every_request_has_its_own_time(serve: Serve) -> None:
    """One timer serves several requests: each is answered, and the connection stays open."""
    api = await serve(gated(Gate()), at(thing), request_timeout=0.05)
    answers = await asyncio.gather(*(api("GET", "/api/v1/public/gate") for _ in range(5)))
    assert [answer.status for answer in answers] == [503] * 5
    assert (await api("GET", "/api/v1/public/thing")).status == 200
    assert (await api("GET", "/api/v1/public/gate")).status == 503


async def test_a_body_that_never_ends_is_given_up(serve: Serve) -> None:
    """A client that sends its body slowly has no more time than any other."""

    async def put(body: Thing) -> None: ...

    api = await serve(make_route(put, "PUT"), request_timeout=0.1)
    head = b"PUT /api/v1/public/thing HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    host, _, port = api.server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b'Connection: close\r\n\r\n{"name"')
    assert b"503 Service Unavailable" in await reader.readline()
    writer.close()


async def test_a_client_that_hangs_up_cancels_its_request_quietly(serve: Serve) -> None:
    """The handler is cancelled, and the log has only 499."""
    gate = Gate()
    api = await serve(gated(gate))
    host, _, port = api.server.address.rpartition(":")
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/v1/public/gate HTTP/1.1\r\nHost: x\r\n\r\n")
        await gate.entered.wait()
        writer.close()
        async with asyncio.timeout(5):
            await gate.cancelled.wait()
        await asyncio.sleep(0)
    assert [(line["event"], line["status"]) for line in lines] == [("request", 499)]


async def test_draining_finishes_what_is_in_hand_and_turns_the_rest_away(serve: Serve) -> None:
    """A request in progress is answered in full; new ones are 503 `stopping`, and probes still answer."""
    gate = Gate()
    api = await serve(gated(gate), at(thing))
    api.server.serve_probe("/readyz", not_ready)
    in_hand = asyncio.create_task(api("GET", "/api/v1/public/gate"))
    await gate.entered.wait()
    draining = asyncio.create_task(api.server.drain(5))
    await asyncio.sleep(0)
    refused = await api("GET", "/api/v1/public/thing")
    assert (refused.status, refused.json["code"], refused.headers["Connection"]) == (503, "stopping", "close")
    assert (await api("GET", "/readyz")).status == 503
    assert not draining.done()
    gate.open.set()
    assert await draining is True
    assert (await in_hand).json == {"name": "through"}


async def test_draining_cuts_short_what_does_not_finish(serve: Serve) -> None:
    """After the time limit the rest is answered 503 `stopping`."""
    gate = Gate()
    api = await serve(gated(gate))
    in_hand = asyncio.create_task(api("GET", "/api/v1/public/gate"))
    await gate.entered.wait()
    assert await api.server.drain(0.05) is False
    assert (await in_hand).json["code"] == "stopping"


async def test_closing_closes_idle_connections_and_the_listener(serve: Serve) -> None:
    """After `close`, which may be called twice, nothing is served."""
    api = await serve(at(thing))
    host, _, port = api.server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/public/thing HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"}")
    await api.server.close()
    assert await reader.read() == b""
    writer.close()
    await api.server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize(
    "raw",
    [
        b"this is not HTTP\r\n\r\n",
        b"PUT /api/v1/public/thing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /api/v1/public/thing HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    ],
    ids=["no HTTP", "two lengths", "bad chunk"],
)
async def test_what_is_not_http_is_a_problem_too(serve: Serve, raw: bytes) -> None:
    """400 `malformed_request`, and the connection is closed."""

    async def put(body: Thing) -> None: ...

    api = await serve(make_route(put, "PUT"))
    answer = await exchange(api, raw)
    assert answer.split(b" ")[1] == b"400"
    assert b"application/problem+json" in answer
    assert b'"code":"malformed_request"' in answer


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    """Two requests in one packet get two answers."""
    api = await serve(at(thing), at(nothing))
    one = b"GET /api/v1/public/thing HTTP/1.1\r\nHost: x\r\n\r\n"
    two = b"GET /api/v1/public/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await exchange(api, one + two)
    assert answer.index(b"200 OK") < answer.index(b"204 No Content")


async def test_the_work_in_hand_is_the_requests_own(serve: Serve) -> None:
    """Inside a handler the request id and the plugin are known to logs and rows, also on a kept connection."""

    async def inside() -> Thing:
        found = request_context.current_request.get()
        assert found is not None
        return Thing(name=f"{found.plugin} {found.request_id} {found.trace_id}")

    api = await serve(at(inside), observer=Observer())
    for number in range(2):
        answer = await api("GET", "/api/v1/public/inside", headers=GATEWAY | {"X-Request-Id": f"request-{number}"})
        assert answer.json["name"] == f"demo request-{number} {'a' * 32}"


@dataclass
class Span:
    """A sampled request."""

    trace_id: str = "a" * 32
    span_id: str = "b" * 16


@dataclass
class Observer:
    """Records what it observes."""

    heard: list[tuple[Any, ...]] = field(default_factory=list)

    def begin(self, route: Route, headers: Mapping[str, str], *, trusted: bool) -> Span:
        self.heard.append(("begin", route.name, headers.get("traceparent"), trusted))
        return Span()

    def end(self, trace: Span, route: Route, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append(("end", route.name, status, trace.span_id))


async def test_the_observer_hears_of_every_routed_request(serve: Serve) -> None:
    """Begin with the caller's trace, end with the status, whatever it is; unrouted requests are not observed."""
    observer = Observer()
    api = await serve(at(thing), at(broken), observer=observer)
    await api("GET", "/api/v1/public/thing", headers={"traceparent": "00-1-2-01"})
    await api("GET", "/api/v1/public/broken", headers=GATEWAY)
    await api("GET", "/api/v1/public/nowhere")
    assert observer.heard == [
        ("begin", "demo.thing", "00-1-2-01", False),
        ("end", "demo.thing", 200, "b" * 16),
        ("begin", "demo.broken", None, True),
        ("end", "demo.broken", 500, "b" * 16),
    ]


async def test_a_call_knows_its_route_and_headers(serve: Serve) -> None:
    """Header names are found whatever their case."""

    async def told(call: Call) -> Thing:
        return Thing(name=f"{call.route.name} {call.headers['x-hint']}")

    api = await serve(at(told))
    assert (await api("GET", "/api/v1/public/told", headers={"X-Hint": "h"})).json == {"name": "demo.told h"}
