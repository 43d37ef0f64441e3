"""Requests that two readers could cut apart differently: each is refused, or seen once, as one request."""

import asyncio

import pytest
from gateway_doubles import Front

TARGET = "/api/v1/public/things"
HEAD = f"POST {TARGET} HTTP/1.1\r\nHost: x\r\n"
INNER = f"GET {TARGET}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

AMBIGUOUS = {
    "length and chunked": f"{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}",
    "chunked and length": f"{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{INNER}",
    "two lengths": f"{HEAD}Content-Length: 0\r\nContent-Length: {len(INNER)}\r\n\r\n{INNER}",
    "two lengths in one": f"{HEAD}Content-Length: 0, {len(INNER)}\r\n\r\n{INNER}",
    "a signed length": f"{HEAD}Content-Length: +0\r\n\r\n{INNER}",
    "a negative length": f"{HEAD}Content-Length: -1\r\n\r\n{INNER}",
    "a hexadecimal length": f"{HEAD}Content-Length: 0x0\r\n\r\n{INNER}",
    "a length with an underscore": f"{HEAD}Content-Length: 1_0\r\n\r\n{INNER}",
    "a space before the colon": f"{HEAD}Content-Length : {len(INNER)}\r\n\r\n{INNER}",
    "a tab before the colon": f"{HEAD}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n{INNER}",
    "an obscured coding": f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{INNER}",
    "a coding after chunked": f"{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{INNER}",
    "two codings": f"{HEAD}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}",
    "a vertical tab in the coding": f"{HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{INNER}",
    "chunked of HTTP/1.0": f"POST {TARGET} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}",
    "a folded line": f"{HEAD}X-Fold: a\r\n Content-Length: {len(INNER)}\r\n\r\n{INNER}",
    "a folded first line": f"POST {TARGET} HTTP/1.1\r\n Content-Length: 3\r\nHost: x\r\n\r\n{INNER}",
    "bare line feeds": f"POST {TARGET} HTTP/1.1\nHost: x\nContent-Length: 0\n\n{INNER}",
    "a bare carriage return": f"{HEAD}X: a\rContent-Length: {len(INNER)}\r\n\r\n{INNER}",
    "a NUL in a field": f"{HEAD}X: a\x00b\r\n\r\n{INNER}",
    "a line feed after a chunk's size": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0\n\r\n{INNER}",
    "a chunk's size with a sign": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{INNER}",
    "a chunk's size with a prefix": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{INNER}",
    "a chunk's size of too many digits": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{'0' * 40}1\r\na\r\n0\r\n\r\n",
    "a chunk longer than its size": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n{INNER}",
    "a line feed in a chunk's extension": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n{INNER}",
    "two hosts": f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 0\r\n\r\n",
    "no version": f"GET {TARGET}\r\n\r\n{INNER}",
    "a wrong version": f"GET {TARGET} HTTP/3.1\r\nHost: x\r\n\r\n",
    "a target with a space": f"GET {TARGET} {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 without TLS": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
"""By name: bytes that a careless proxy passes on, for the next reader to find a second request in them."""


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_an_ambiguous_request_is_refused_or_seen_once(front: Front, name: str) -> None:
    """No request reaches the backend that its sender hid in another one, nor one cut short or lengthened."""
    seen = await _send(front, AMBIGUOUS[name].encode("latin-1"))
    hidden = [request.path for request, _ in front.backend.requests if request.path.endswith("smuggled")]
    refused = seen.startswith(b"HTTP/1.1 4")
    assert not hidden or not refused, "what followed a refused request was read as a request"
    if refused:
        assert not front.backend.requests
    else:  # framed as RFC 9112 has it: two requests on one connection, each seen once, with its own body
        assert len(front.backend.requests) == seen.count(b"HTTP/1.1 200")
        assert all(INNER.encode() not in body for _, body in front.backend.requests)


async def test_chunks_are_framed_again(front: Front) -> None:
    """Extensions and trailers end here; the backend gets a length."""
    chunked = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n"
    seen = await _send(front, chunked.encode())
    request, body = front.backend.requests[-1]
    assert seen.startswith(b"HTTP/1.1 200")
    assert (body, request.headers["Content-Length"]) == (b"abcde", "5")
    assert not {"Transfer-Encoding", "X-Trailer"} & set(request.headers)


async def test_requests_that_follow_each_other_are_answered_in_order(front: Front) -> None:
    """Pipelining is plain HTTP/1.1."""
    first = f"GET {TARGET}/1 HTTP/1.1\r\nHost: x\r\n\r\n"
    seen = await _send(front, (first + first.replace("/1 ", "/2 ")).encode())
    assert seen.index(b"things/1") < seen.index(b"things/2")


async def _send(front: Front, raw: bytes) -> bytes:
    """Send bytes, and return everything that comes back until nothing does."""
    reader, writer = await asyncio.open_connection(*front.gateway.address.split(":"))
    writer.write(raw)
    seen = b""
    try:
        while True:
            async with asyncio.timeout(0.3):
                more = await reader.read(65536)
            if not more:
                break
            seen += more
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return seen
