"""How answers go over the wire: framing, versions, headers of their own, and clients that do not read."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from galaxy_chassis.http.response import file_response
from galaxy_devkit.testing.http import Api, make_route
from galaxy_kernel.http.call import Response
from galaxy_kernel.http.model import Model

Serve = Callable[..., Awaitable[Api]]


class Thing(Model):
    name: str


async def thing() -> Thing:
    return Thing(name="n")


async def connect(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = api.server.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def ask(api: Api, *lines: str) -> tuple[list[str], bytes]:
    """Send a request, whose connection the server is to close, and return the head's lines and the body."""
    reader, writer = await connect(api)
    writer.write("\r\n".join((*lines, "Host: x", "", "")).encode())
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode().split("\r\n"), body


async def test_an_answer_is_framed_and_dated(serve: Serve) -> None:
    """The head has every header once, and the length is the body's."""
    head, body = await ask(
        await serve(make_route(thing)), "GET /api/v1/public/thing HTTP/1.1", "Connection: close", "X-Other: 1"
    )
    names = [line.partition(":")[0] for line in head[1:]]
    assert head[0] == "HTTP/1.1 200 OK"
    assert sorted(names) == [
        "Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Server", "X-Content-Type-Options",
        "X-Request-Id",
    ]  # fmt: skip
    assert f"Content-Length: {len(body)}" in head
    assert "Connection: close" in head


async def test_http_1_0_closes_unless_asked_not_to(serve: Serve) -> None:
    """A client of HTTP/1.0 learns that its connection is kept, and can use it again."""
    api = await serve(make_route(thing))
    head, body = await ask(api, "GET /api/v1/public/thing HTTP/1.0")
    assert ("Connection: close" in head, body) == (True, b'{"name":"n"}')
    reader, writer = await connect(api)
    for _ in range(2):
        writer.write(b"GET /api/v1/public/thing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"Connection: keep-alive" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_ends_with_its_head(serve: Serve, status: int) -> None:
    """204 and 304 have neither body nor length, whatever the handler returns: the next answer would be misread."""

    async def unchanged() -> Response[Thing]:
        return Response(Thing(name="n"), status=status)

    answer = await (await serve(make_route(unchanged)))("GET", "/api/v1/public/thing")
    assert (answer.status, answer.body, answer.headers.get("Content-Length")) == (status, b"", None)


async def test_a_header_of_the_answers_own_replaces_the_common_one(serve: Serve) -> None:
    """Whatever its case."""

    async def cacheable() -> Response[Thing]:
        return Response(Thing(name="n"), headers={"cache-control": "max-age=5"})

    head, _ = await ask(await serve(make_route(cacheable)), "GET /api/v1/public/thing HTTP/1.1", "Connection: close")
    assert [line for line in head if line.lower().startswith("cache-control")] == ["cache-control: max-age=5"]


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\0"])
async def test_a_header_cannot_smuggle_another(serve: Serve, value: str) -> None:
    """An answer with a control character in a header is the handler's fault: 500, and nothing of it is sent."""

    async def careless() -> Response[Thing]:
        return Response(Thing(name="n"), headers={"Location": value})

    answer = await (await serve(make_route(careless)))("GET", "/api/v1/public/thing")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert not {"Location", "Set-Cookie"} & set(answer.headers)


async def test_a_client_that_does_not_read_is_not_served_ahead(serve: Serve) -> None:
    """Answers wait for the client in the handler's place, not in memory; none of them is lost."""
    asked, served = 600, 0

    async def large() -> Thing:
        nonlocal served
        served += 1
        return Thing(name="a" * 65_536)

    reader, writer = await connect(await serve(make_route(large)))
    last = b"GET /api/v1/public/thing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(b"GET /api/v1/public/thing HTTP/1.1\r\nHost: x\r\n\r\n" * (asked - 1) + last)
    before = -1
    while before != served:
        before = served
        await asyncio.sleep(0.3)
    assert 0 < served < asked
    async with asyncio.timeout(30):
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == asked
    writer.close()
    await writer.wait_closed()


def test_a_file_of_text_has_its_charset() -> None:
    """A script or a style is UTF-8, and may be cached where the headers say so."""
    file = file_response("text/css; charset=utf-8", b"body {}", "r-1", {"Cache-Control": "max-age=60"})
    assert (file.status, file._body) == (200, b"body {}")
    assert "Content-Type: text/css; charset=utf-8\r\n" in file._head
    assert "Cache-Control: max-age=60\r\n" in file._head
