"""Reading bodies, without a kernel: whole, within the limit, however they are cut up."""

import asyncio

from aiohttp.web import BaseRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_chassis.http.body import read
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse, json_response, problem_response
from galaxy_chassis.http.server import HttpServer

LIMIT = 64


async def echo(request: BaseRequest) -> AnyResponse:
    try:
        return json_response(200, await read(request, LIMIT), "id")
    except Problem as problem:
        return problem_response(problem, "id")


async def answer_to(pieces: list[bytes], *, chunked: bool) -> bytes:
    """Send a body in these pieces, each by itself, and return the whole answer."""
    server = HttpServer("127.0.0.1:0", echo)
    await server.start()
    server.open()
    reader, writer = await asyncio.open_connection(*server.address.split(":"))
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, pieces))}"
    writer.write(f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{framing}\r\n\r\n".encode())
    for piece in pieces:
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        writer.write(b"0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await server.close()
    return answer


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=st.lists(st.binary(min_size=1, max_size=16), max_size=6), chunked=st.booleans())
def test_a_body_is_read_whole_or_refused(pieces: list[bytes], chunked: bool) -> None:
    """In one piece or many, of a stated length or in chunks; a byte above the limit is too much."""
    body = b"".join(pieces)
    head, _, rest = asyncio.run(answer_to(pieces, chunked=chunked)).partition(b"\r\n\r\n")
    if len(body) <= LIMIT:
        assert head.startswith(b"HTTP/1.1 200 ")
        assert rest == body
    else:
        assert head.startswith(b"HTTP/1.1 413 ")
