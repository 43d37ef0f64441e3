"""What is answered where aiohttp has no request, or has lost its answer."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.web import BaseRequest

from galaxy_chassis.http.protocol import LONGEST_FIELD, LONGEST_TARGET
from galaxy_chassis.http.response import AnyResponse, json_response
from galaxy_chassis.http.server import HttpServer


async def exchange(handler: Callable[[BaseRequest], Awaitable[AnyResponse]], sent: bytes) -> tuple[str, dict[str, str]]:
    """Send bytes to a listener; return the head of the answer and the document, once the connection is closed."""
    server = HttpServer("127.0.0.1:0", handler)
    await server.start()
    try:
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        async with asyncio.timeout(5):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return head.decode(), json.loads(body) if body else {}
    finally:
        await server.close()


async def served(request: BaseRequest) -> AnyResponse:
    return json_response(200, b"{}", "r-1")


async def broken(request: BaseRequest) -> AnyResponse:
    raise ValueError("out of coal")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00 ann@example.org\r\n\r\n", b"GET ann@example.org\r\n\r\n"])
async def test_what_is_not_http_is_a_problem_and_its_bytes_are_not_logged(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered 400 with a document, and the connection is closed."""
    caplog.set_level(logging.INFO)
    head, document = await exchange(served, sent)
    assert head.startswith("HTTP/1.1 400 ")
    assert "Connection: close" in head
    assert (document["code"], document["status"]) == ("malformed_request", 400)
    assert document["request_id"] in head
    assert "ann@" not in caplog.text


@pytest.mark.parametrize("length", [8193, 16_000, 1_600_000])
@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
        ("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
        ("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", 431, "headers_too_large"),
        ("GET / HTTP/1.1\r\nHost: x\r\n{}: long\r\n\r\n", 431, "headers_too_large"),
    ],
)
async def test_what_is_too_long_in_a_head_is_named(head: str, status: int, code: str, length: int) -> None:
    """414 for the target, 431 for a header: and the client reads it, however much it still sends."""
    answer, document = await exchange(served, head.format("a" * length).encode())
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "Connection: close" in answer
    assert (document["code"], document["status"]) == (code, status)


async def test_a_target_and_a_header_of_the_greatest_length_are_served() -> None:
    """The limits themselves are allowed."""
    target, field = b"/" + b"a" * (LONGEST_TARGET - 1), b"a" * LONGEST_FIELD
    head, _ = await exchange(
        served, b"GET %b HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\nConnection: close\r\n\r\n" % (target, field)
    )
    assert head.startswith("HTTP/1.1 200 ")


async def test_too_many_headers_are_431() -> None:
    """Their number is limited too."""
    head, document = await exchange(served, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: x\r\n" * 200 + b"\r\n")
    assert (head.split()[1], document["code"]) == ("431", "headers_too_large")


@pytest.mark.parametrize(("target", "fields", "status"), [(1, 4, "200"), (8000, 4, "200"), (1, 5, "431")])
async def test_the_sum_of_all_headers_is_limited(target: int, fields: int, status: str) -> None:
    """Headers that are each short enough are 431 together, and reach no handler."""
    headers = "".join(f"X-{number}: {'x' * 3900}\r\n" for number in range(fields))
    sent = f"GET /{'p' * target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    head, document = await exchange(served, sent.encode())
    assert head.split()[1] == status
    assert document.get("code") == ("headers_too_large" if status == "431" else None)


FIRST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
FIELDS = "".join(f"a{n:03}:{'a' * 123}\r\n" for n in range(125))
BARE = f"GET /b HTTP/1.1\r\nHost:x\r\n{FIELDS}Pad:{'p' * 50}\r\n\r\n".encode()
"""Long by the rule that counts a space after each colon, which it does not have."""
LONG = "".join(("GET /b HTTP/1.1\r\nHost: x\r\n", *(f"X-{n}: {'a' * 5000}\r\n" for n in range(4)), "\r\n")).encode()


@pytest.mark.parametrize(
    "parts",
    [
        [FIRST, LONG],
        [FIRST + LONG[:1], LONG[1:]],
        [FIRST + LONG[:9000], LONG[9000:]],
        [FIRST + LONG[:16_400], LONG[16_400:]],
        [FIRST + LONG],
        [FIRST + FIRST, *(LONG[at : at + 1000] for at in range(0, len(LONG), 1000))],
        [FIRST * 60 + LONG[:12_000], LONG[12_000:]],
        [BARE],
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_long_head_behind_other_requests_is_431(parts: list[bytes], at_once: bool) -> None:
    """However it is cut, also while requests before it wait to be served, here or in aiohttp's parser."""
    seen: list[str] = []
    sent = asyncio.Event()
    if at_once:
        sent.set()

    async def noted(request: BaseRequest) -> AnyResponse:
        seen.append(request.path)
        await sent.wait()
        return json_response(200, b"{}", "r-1")

    server = HttpServer("127.0.0.1:0", noted)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection(*server.address.split(":"))
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        sent.set()
        async with asyncio.timeout(5):
            async for line in reader:
                if b"HTTP/1.1 431 " in line:
                    break
            else:
                pytest.fail("no 431")
        writer.close()
        await writer.wait_closed()
    finally:
        await server.close()
    assert set(seen) <= {"/a"}


async def test_a_handler_that_raises_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours below the API is 500 `internal`, with the exception in the log alone."""
    head, document = await exchange(broken, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.1 500 ")
    assert document["code"] == "internal"
    assert "coal" not in json.dumps(document)
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [ValueError]


async def test_an_answer_that_has_begun_is_not_followed_by_another() -> None:
    """The connection is closed: a document behind half an answer would be taken for its body."""

    async def half(request: BaseRequest) -> AnyResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        request.writer.output_size = 40  # as aiohttp counts what has gone out
        raise ValueError("out of coal")

    head, document = await exchange(half, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert document == {}


async def test_connections_are_kept_between_requests() -> None:
    """Two requests on one connection are two answers, in order."""
    seen = 0

    async def count(request: BaseRequest) -> AnyResponse:
        nonlocal seen
        seen += 1
        return json_response(200, b'"%d"' % seen, "r")

    ask = b"GET / HTTP/1.1\r\nHost: x\r\n"
    server = HttpServer("127.0.0.1:0", count)
    await server.start()
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(ask + b"\r\n" + ask + b"Connection: close\r\n\r\n")
    async with asyncio.timeout(5):
        raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    await server.close()
    assert raw.index(b'"1"') < raw.index(b'"2"')
