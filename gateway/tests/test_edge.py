"""What passes, and what the backend sees of it."""

import asyncio
import json

import pytest
from aiohttp import web
from gateway_doubles import GOOD, TOKEN, Front, Start
from yarl import URL

from galaxy_gateway.forwarding.targets import parse
from galaxy_gateway.operations import OTHER

USER, PUBLIC = "/api/v1/user/games", "/api/v1/public/things"
AS_USER = {"Authorization": f"Bearer {GOOD}"}
ELSEWHERE = (
    *("/page", "/metrics", "/openapi.json", "/api/v1/user", "/api/v1/users/x", "/API/v1/user/games"),
    *("/api/v1/admin/users", "/api/v1/internal/sessions/introspect", "/api/v1/%75ser/games"),
)
AMBIGUOUS = (
    *("/api/v1/user/../admin/users", "/api/v1/user/./x", "/api/v1/user/a/..", "/api/v1/user//games"),
    *("/api/v1/user/%2e%2e/admin", "/api/v1/user/a%2fb%5Cc", "/api/v1/user/a%5cb", "/api/v1/user/a\\b"),
    *("/api/v1/user/%00", "/api/v1/user/a%0d%0ab", "/api/v1/user/%", "/api/v1/user/%zz", "/api/v1/user/..;/admin"),
    *("http://other.test/api/v1/user/games", "/api/v1/user/x#y"),
)


def raw(target: str) -> URL:
    """Return a target that the client sends as it is."""
    return URL(target, encoded=True)


async def test_a_call_is_forwarded_with_its_query_and_its_body(front: Front) -> None:
    """Method, raw path, query, media type and body arrive as they were sent."""
    status, _, body = await front.ask(
        "PUT",
        raw(f"{USER}/7?a=%2F&b=[1]"),
        data=b'{"x": 1}',
        headers={**AS_USER, "Content-Type": "application/json"},
    )
    request, sent = front.backend.requests[-1]
    assert (status, request.method, request.raw_path, sent) == (200, "PUT", f"{USER}/7?a=%2F&b=[1]", b'{"x": 1}')
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(body)["method"] == "PUT"


async def test_only_this_process_says_who_the_client_is(front: Front) -> None:
    """Headers of proxies that a client forges reach nobody, however they are written."""
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "x_forwarded_for": "6.6.6.6",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Anything": "x",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Gateway-Token": "guess",
        "X-Request-Id": "chosen-by-the-client",
        "traceparent": "00-11111111111111111111111111111111-2222222222222222-01",
        "Cookie": "__Host-galaxy=stolen",
        "Connection": "keep-alive, X-Nominated",
        "X-Nominated": "x",
        "X-Kept": "kept",
    }
    status, answer, _ = await front.ask("GET", PUBLIC, headers=forged)
    seen = front.backend.last.headers
    assert status == 200
    assert seen.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert seen["X-Gateway-Token"] == TOKEN
    assert seen["X-Request-Id"] == answer.headers["X-Request-Id"] != "chosen-by-the-client"
    assert "1111" not in seen.get("traceparent", "")
    assert seen["X-Kept"] == "kept"
    gone = (
        "x_forwarded_for",
        "X-Forwarded-Proto",
        "X-Forwarded-Anything",
        "Forwarded",
        "X-Real-IP",
        "Cookie",
        "X-Nominated",
    )
    assert not [name for name in gone if name in seen]


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_what_is_not_the_clients_is_not_found(front: Front, path: str) -> None:
    """Operators' and internal operations do not exist here."""
    status, answer, body = await front.ask("GET", raw(path))
    assert (status, json.loads(body)["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not front.backend.requests


@pytest.mark.parametrize("path", AMBIGUOUS)
async def test_paths_that_two_readers_could_read_differently_are_refused(front: Front, path: str) -> None:
    """The backend never sees them."""
    reader, writer = await asyncio.open_connection(*front.gateway.address.split(":"))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head = (await reader.read()).partition(b"\r\n")[0]
    writer.close()
    assert head.split()[1] == b"400"
    assert not front.backend.requests


async def test_a_long_answer_is_streamed(front: Front) -> None:
    """Its first part arrives before the backend has sent its last."""
    more = asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first")
        await more.wait()
        await answer.write(b"last")
        return answer

    front.backend.handler = slowly
    async with front.client.get(PUBLIC) as answer:
        assert await answer.content.read(5) == b"first"
        more.set()
        assert await answer.content.read() == b"last"


async def test_a_head_has_the_length_and_no_body(front: Front) -> None:
    """As RFC 9110, 9.3.2 has it."""
    _, full, body = await front.ask("GET", PUBLIC)
    status, answer, nothing = await front.ask("HEAD", PUBLIC)
    assert (status, nothing) == (200, b"")
    assert len(body) > 0
    assert answer.headers["Content-Length"] == full.headers["Content-Length"]


async def test_a_body_that_is_too_large_is_413_and_not_forwarded(start: Start) -> None:
    """The limit is the gateway's own."""
    front = await start(max_body="1024")
    status, _, body = await front.ask("POST", PUBLIC, data=b"x" * 1025)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert not front.backend.requests


async def test_without_a_backend_calls_are_502_and_say_so(start: Start) -> None:
    """The answer says that the call has not taken effect, and the process stays alive."""
    front = await start(backend_url="http://127.0.0.1:1")
    status, answer, body = await front.ask("POST", PUBLIC, json={})
    assert (status, json.loads(body)["code"], answer.headers["Retry-After"]) == (502, "backend_unreachable", "1")
    status, _, body = await front.ask("GET", "/readyz")
    checks = {check["name"]: check["state"] for check in json.loads(body)["checks"]}
    assert (status, checks["backend"]) == (200, "degraded")


async def test_an_answer_that_breaks_off_is_cut_off(front: Front) -> None:
    """Nothing is written after it: the client sees that it is short, and no other answer gets into it."""

    async def break_off(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_length = 400_000
        await answer.prepare(request)
        await answer.write(b"x" * 300_000)
        assert request.transport is not None
        request.transport.close()
        return answer

    front.backend.handler = break_off
    reader, writer = await asyncio.open_connection(*front.gateway.address.split(":"))
    call = f"GET {PUBLIC} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    writer.write(call + call)
    seen = await reader.read(-1)
    writer.close()
    assert seen.count(b"HTTP/1.1 ") == 1
    assert set(seen.partition(b"\r\n\r\n")[2]) == {ord("x")}


async def test_a_stranger_uses_up_no_players_allowance(start: Start) -> None:
    """What counts by account counts by address only for who has none."""
    front = await start(limit_games="1")
    for _ in range(3):
        await front.ask("POST", "/api/v1/user/games", json={})
    status, answer, _ = await front.ask("POST", "/api/v1/user/games", json={}, headers=AS_USER)
    assert status == 200
    assert answer.headers["RateLimit"].count('"games"') == 1
    status, answer, body = await front.ask("POST", "/api/v1/user/games", json={}, headers=AS_USER)
    assert (status, json.loads(body)["code"]) == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("token", ["x" * 600, "a\\015\\012X: 1", "\xff", "two words"])
async def test_what_is_not_a_token_is_nobodys(start: Start, token: str) -> None:
    """Wherever it comes from: the header, the cookie, the subprotocol."""
    front = await start(cookie_origins="https://play.example.test")
    asked = front.backend.introspected
    websocket = {"Connection": "upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    websocket["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    offered = {**websocket, "Sec-WebSocket-Protocol": f"galaxy.events.v1, galaxy.bearer.{token}"}
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"__Host-galaxy={token}"}, offered):
        status, _, _ = await front.ask("GET", "/api/v1/user/events", headers=headers)
        assert status == 401
    assert front.backend.introspected == asked


async def test_headers_have_a_sum(front: Front) -> None:
    """Many that are long each are 431, and forwarded to nobody."""
    headers = {f"X-Long-{number}": "x" * 4000 for number in range(5)}
    status, _, body = await front.ask("GET", PUBLIC, headers=headers)
    assert (status, json.loads(body)["code"]) == (431, "headers_too_large")
    assert not front.backend.requests


async def test_invented_paths_are_not_known_as_operations(front: Front) -> None:
    """What the backend refuses has no name of its own in metrics."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=401)

    front.backend.handler = refuse
    await front.ask("GET", "/api/v1/user/games/aaa")
    operations = front.gateway._edge._operations
    assert operations.known("GET", parse("/api/v1/user/games/aaa")) is OTHER
    front.backend.handler = None
    await front.ask("GET", "/api/v1/user/games/01a2", headers=AS_USER)
    assert operations.known("GET", parse("/api/v1/user/games/7")).path == "/api/v1/user/games/{}"
