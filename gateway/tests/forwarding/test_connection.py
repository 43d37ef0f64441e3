"""One connection to a backend: what comes is read the same however it is cut, and nothing bad is read on."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_gateway.forwarding.connection import Connection
from galaxy_gateway.forwarding.errors import BrokenError, LateError
from galaxy_gateway.forwarding.response import BUFFERED, LONGEST_HEAD, Response

T = TypeVar("T")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"

BAD = {
    "length and chunked": f"{CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked and length": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
    "two lengths in one": "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    "a signed length": "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
    "no length in the field": "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nab",
    "another coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
    "a coding before chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{CHUNKED}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked of HTTP/1.0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/2": "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/0.9": "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "bare line feeds": "HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
    "a bare carriage return": "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nab",
    "a NUL in a field": "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nab",
    "a field that is not UTF-8": "HTTP/1.1 200 OK\r\nX: \xff\r\nContent-Length: 2\r\n\r\nab",
    "a space before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab",
    "a folded line": "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nab",
    "a line feed in a chunk's extension": f"{CHUNKED}\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    "a chunk longer than its size": f"{CHUNKED}\r\n1\r\nab\r\n0\r\n\r\n",
    "another protocol": "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "a status out of range": "HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nab",
    "a request": "GET / HTTP/1.1\r\n\r\n",
    "a head without end": "HTTP/1.1 200 OK\r\nX: " + "x" * (LONGEST_HEAD + 1),
    "interim answers without end": "HTTP/1.1 103 Early Hints\r\n\r\n" * 17,
}
"""By name: what two readers could cut apart differently, or what would never end."""


class FakeTransport(asyncio.Transport):
    """Keeps what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent, self.closed, self.paused = 0, False, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent


class FakeLoop:
    """Has a time that the test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now


def opened(loop: FakeLoop | None = None) -> tuple[Connection, FakeTransport]:
    """Return a connection whose backend may pause for ten seconds, and its transport."""
    connection, transport = Connection(cast("asyncio.AbstractEventLoop", loop or FakeLoop()), 10.0), FakeTransport()
    connection.connection_made(transport)
    return connection, transport


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        return cast("T", stopped.value)
    raise AssertionError("it waits")


def feed(connection: Connection, transport: FakeTransport, data: bytes, cuts: list[int]) -> None:
    """Deliver bytes in pieces, as long as the connection is read."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in pairwise(places):
        if not transport.closed:
            connection.data_received(data[begin:end])


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[str, str]], bytes, bool]:
    """Return an answer's bytes, its status, fields and body, and whether only the connection's end is its end."""
    status = draw(st.sampled_from([200, 201, 204, 304, 404, 503]))
    fields = draw(st.lists(st.tuples(st.sampled_from(["X-A", "x-b", "ETag"]), st.text("abc é,;=", max_size=9))))
    fields = [(name, value.strip()) for name, value in fields]
    body = b"" if status in (204, 304) else draw(st.binary(max_size=200))
    framing = "none" if status in (204, 304) else draw(st.sampled_from(["length", "chunked", "closed"]))
    if framing == "length":
        fields.append(("Content-Length", str(len(body))))
    elif framing == "chunked":
        fields.append(("Transfer-Encoding", "chunked"))
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields)]
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * draw(st.integers(0, 2))
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    sent = chunked(body, draw(st.integers(1, 50))) if framing == "chunked" else body
    return interim + head + sent, status, fields, body, framing == "closed"


def chunked(body: bytes, size: int) -> bytes:
    """Return a body in chunks, with an extension and a trailer."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Trailer: t\r\n\r\n"


@given(st.lists(st.tuples(answers(), st.lists(st.integers(0, 10_000), max_size=8)), min_size=1, max_size=3))
def test_answers_are_read_the_same_however_they_are_cut(
    calls: list[tuple[tuple[bytes, int, list[tuple[str, str]], bytes, bool], list[int]]],
) -> None:
    """One after another on a kept connection: status, fields and body, and nothing of interim answers or trailers."""
    connection, transport = opened()
    for (data, status, fields, body, until_closed), cuts in calls:
        response = connection.send(b"call", 1.0)
        feed(connection, transport, data, cuts)
        assert response.complete is not until_closed
        if until_closed:
            connection.eof_received()
        now(response.begin())
        assert (response.status, response.headers, now(response.read())) == (status, fields, body)
        assert response.length == (None if until_closed or ("Transfer-Encoding", "chunked") in fields else len(body))
        assert connection.finish() is not until_closed
        if until_closed:
            break


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", [1, 97, 1_000_000])
def test_what_is_not_an_answer_ends_the_connection(name: str, step: int) -> None:
    """However it is cut, its call is broken, and a good answer behind it is not read."""
    connection, transport = opened()
    response = connection.send(b"call", 1.0)
    data = BAD[name].encode("latin-1")
    feed(connection, transport, data + OK, list(range(0, len(data), step)))
    with pytest.raises(BrokenError):
        _ = now(response.begin()), now(response.read())
    assert (transport.closed, connection.finish()) == (True, False)


@pytest.mark.parametrize("data", [OK + OK, OK + b"x", OK + b"\r\nx", OK[:15] + b"\r\nConnection: close" + OK[15:]])
def test_after_an_answer_that_ends_its_connection_there_is_no_other(data: bytes) -> None:
    """Bytes that nobody asked for, or `Connection: close`: the answer itself is whole."""
    connection, transport = opened()
    response = connection.send(b"call", 1.0)
    connection.data_received(data)
    assert (now(response.read()), connection.finish(), transport.closed) == (b"ab", False, True)


def test_bytes_between_two_calls_end_the_connection() -> None:
    """They would be read as the answer to the next one."""
    connection, transport = opened()
    connection.send(b"call", 1.0)
    connection.data_received(OK)
    assert connection.finish()
    connection.data_received(OK)
    assert (connection.is_open, transport.closed) == (False, True)


def test_an_answer_before_the_end_of_the_request_is_whole_and_the_last() -> None:
    """The rest of the request's body would be read as another request."""
    connection, transport = opened()
    response = connection.send(b"call", 1.0)
    transport.unsent = 1
    connection.data_received(OK)
    assert (now(response.read()), connection.finish()) == (b"ab", False)


@pytest.mark.parametrize(
    "data", [b"", OK[:20], OK[:-1], f"{CHUNKED}\r\n1\r\na\r\n".encode(), b"HTTP/1.1 100 C\r\n\r\n"]
)
@pytest.mark.parametrize("lost", ["eof", "reset", "closed"])
def test_an_answer_that_breaks_off_is_broken(data: bytes, lost: str) -> None:
    """Wherever that is, and however the connection ends."""
    connection, _ = opened()
    response = connection.send(b"call", 1.0)
    if data:
        connection.data_received(data)
    if lost == "eof":
        connection.eof_received()
    elif lost == "reset":
        connection.connection_lost(ConnectionResetError())
    else:
        connection.close()
    with pytest.raises(BrokenError):
        _ = now(response.begin()), now(response.read())
    assert not connection.finish()


def test_an_answer_until_the_end_of_its_connection_is_broken_by_a_reset() -> None:
    """Its end would be anywhere."""
    connection, _ = opened()
    response = connection.send(b"call", 1.0)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nab")
    connection.connection_lost(ConnectionResetError())
    with pytest.raises(BrokenError):
        now(response.read())


def test_the_backend_waits_for_the_reader() -> None:
    """Beyond the buffer nothing is read until the reader has taken what is there; meanwhile the backend is not late."""
    loop = FakeLoop()
    connection, transport = opened(loop)
    response = connection.send(b"call", 1.0)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(BUFFERED))
    assert not transport.paused
    connection.data_received(b"x")
    assert transport.paused
    loop.now = 1000.0
    connection.check_deadline(loop.now)
    assert len(now(anext(aiter(response.pieces())))) == BUFFERED + 1
    assert (transport.paused, transport.closed) == (False, False)
    connection.check_deadline(1009.0)
    assert not transport.closed
    connection.check_deadline(1010.0)
    assert transport.closed


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", OK[:20]])
def test_an_answer_that_does_not_begin_is_late(data: bytes) -> None:
    """Neither an interim answer nor a slow head is its beginning."""
    loop = FakeLoop()
    connection, transport = opened(loop)
    response = connection.send(b"call", 30.0)
    loop.now = 29.0
    if data:
        connection.data_received(data)
    connection.check_deadline(29.9)
    assert not transport.closed
    connection.check_deadline(30.0)
    with pytest.raises(LateError):
        now(response.begin())
    assert (transport.closed, connection.finish()) == (True, False)


def test_an_answer_that_pauses_too_long_is_late() -> None:
    """Each piece starts the time again; a whole answer is never late."""
    loop = FakeLoop()
    connection, transport = opened(loop)
    response: Response = connection.send(b"call", 30.0)
    loop.now = 29.0
    connection.data_received(OK[:-1])
    connection.check_deadline(38.9)
    assert not transport.closed
    loop.now = 38.9
    connection.data_received(OK[-1:])
    connection.check_deadline(1000.0)
    assert (now(response.read()), connection.finish()) == (b"ab", True)
