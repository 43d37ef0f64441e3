"""Connections to engines: kept, bounded, acknowledged at once."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Any

import pytest

from galaxy_engine import limits
from galaxy_engine.failures import EngineError, EngineInvalid, EngineTimeout, EngineTooLarge
from galaxy_engine.transport import Answer, Pieces, Transport

OK = b"HTTP/1.1 200 OK\r\n"


def response(body: bytes, head: bytes = OK) -> bytes:
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def exchange(transport: Transport, address: str, body: Pieces = (), **settings: Any) -> Answer:
    method = "POST" if body else "GET"
    arguments = {"headers": {}, "seconds": 10, "largest": limits.MIB, **settings}
    return await transport.exchange(method, address, "/v1/x", body, **arguments)


async def test_connections_are_kept(serve, transport) -> None:
    """Several calls go over one connection."""
    peers = set()

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        writer.write(response(b"{}"))

    address = await serve(answer)
    for _ in range(5):
        assert (await exchange(transport, address)).status == 200
    assert len(peers) == 1


async def test_a_connection_closed_meanwhile_is_not_a_failure(serve, transport) -> None:
    """A kept connection that the engine has closed is replaced, also for POST: calls may be repeated."""
    connections = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) == 2:
            writer.transport.abort()  # the answer to the second request is a closed connection
        else:
            writer.write(response(b"{}"))

    address = await serve(answer)
    await exchange(transport, address, (b"{}",))
    assert (await exchange(transport, address, (b"{}",))).body == b"{}"
    assert len(connections) == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_an_engine_that_always_closes_is_asked_twice(serve, transport, method: str) -> None:
    """Then it is an engine_error; aiohttp repeats nothing beyond that, whatever the method."""
    requests = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.transport.abort()

    with pytest.raises(EngineError, match="was not answered"):
        await transport.exchange(method, await serve(answer), "/v1/x", headers={}, seconds=10, largest=limits.MIB)
    assert len(requests) == 2


@pytest.mark.parametrize("size", [1, limits.KIB, limits.MIB, 5 * limits.MIB])
async def test_bodies_arrive_whole(serve, transport, size: int) -> None:
    """In pieces or not, with their length announced, never chunked: small servers know no chunks."""
    seen = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request.partition(b"\r\n\r\n"))
        writer.write(response(b"{}"))

    state = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await exchange(transport, await serve(answer), (b"<", memoryview(state), b">"))
    (head, _, body) = seen[0]
    assert body == b"<" + state + b">"
    assert b"chunked" not in head.lower()
    assert b"content-type: application/json" in head.lower()


async def test_an_engine_that_is_late(serve, transport) -> None:
    """A call ends at its limit."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with pytest.raises(EngineTimeout, match="took longer than 0.05 s"):
        await exchange(transport, await serve(answer), seconds=0.05)


async def test_an_engine_that_drips(serve, transport) -> None:
    """The limit is for the whole answer: an engine that keeps sending does not get more time."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.001)

    with pytest.raises(EngineTimeout):
        await exchange(transport, await serve(answer), seconds=0.1)


async def test_an_announced_size_beyond_the_limit(serve, transport) -> None:
    """Nothing of such a body is read."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 20971520\r\n\r\n")
        await asyncio.Event().wait()

    with pytest.raises(EngineTooLarge, match="more than 1048576 bytes"):
        await exchange(transport, await serve(answer))


async def test_an_endless_body(serve, transport) -> None:
    """Reading ends at the limit, and the connection with it."""
    sent = 0

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536

    with pytest.raises(EngineTooLarge):
        await exchange(transport, await serve(answer))
    assert sent < 16 * limits.MIB  # what the limit and the sockets' buffers hold


async def test_an_answer_of_the_largest_size_passes(serve, transport) -> None:
    """The limit itself is allowed."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"x" * limits.MIB))

    assert len((await exchange(transport, await serve(answer))).body) == limits.MIB


async def test_an_engine_that_closes_in_the_middle(serve, transport) -> None:
    """Half an answer is an engine_error."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 100\r\n\r\n{")
        writer.close()

    with pytest.raises(EngineError):
        await exchange(transport, await serve(answer))


async def test_nobody_listens(transport) -> None:
    """No engine at that address is an engine_error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(EngineError, match="was not answered"):
            await exchange(transport, f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        OK + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        OK + b"Content-Length: -5\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http(serve, transport, raw: bytes) -> None:
    """Another protocol, a head without end, a nonsensical length are engine_invalid."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    with pytest.raises(EngineInvalid, match="was not answered in HTTP"):
        await exchange(transport, await serve(answer))


async def test_redirects_are_not_followed(serve, transport) -> None:
    """An engine cannot send the host elsewhere."""
    requests = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(response(b"", b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\n"))

    assert (await exchange(transport, await serve(answer), (b"{}",))).status == 307
    assert len(requests) == 1


async def test_compression_is_neither_asked_for_nor_undone(serve, transport) -> None:
    """A compressed answer is refused before its body is read."""
    requests = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(OK + b"Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n")
        await asyncio.Event().wait()

    with pytest.raises(EngineInvalid, match="compressed"):
        await exchange(transport, await serve(answer))
    assert b"accept-encoding" not in requests[0].lower()


async def test_cookies_are_not_kept(serve, transport) -> None:
    """An engine cannot make the host remember anything."""
    requests = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(response(b"{}", OK + b"Set-Cookie: a=b\r\n"))

    address = await serve(answer)
    await exchange(transport, address)
    await exchange(transport, address)
    assert b"cookie" not in requests[1].lower()


async def test_of_other_answers_the_beginning_is_read(serve, transport) -> None:
    """The body of a 500 is for people; it has no limit that could hide the status."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"\x1b[31mno\n" + b"x" * limits.MIB, b"HTTP/1.1 500 Oh\r\n"))

    got = await exchange(transport, await serve(answer))
    assert (got.status, len(got.body), got.cut) == (500, limits.SMALL_BYTES, True)
    assert got.excerpt.startswith(" [31mno xxx")


class NotingSocket(socket.socket):
    """A socket that notes its reads and acknowledgements, in order."""

    def __init__(self, notes: list[str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.notes = notes

    def recv(self, *arguments: Any) -> bytes:
        data = super().recv(*arguments)
        self.notes.append("read" if data else "end")
        return data

    def setsockopt(self, level: int, option: int, *value: Any) -> None:  # type: ignore[override]
        super().setsockopt(level, option, *value)
        if (level, option, *value) == (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1):
            self.notes.append("acknowledge")


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_QUICKACK is Linux's")
async def test_every_read_is_acknowledged_at_once(serve) -> None:
    """Each piece that an engine writes is followed by TCP_QUICKACK, before the next is read."""
    pieces = [OK, b"Content-Length: 7\r\n\r\n", b"{", b'"a"', b":", b"1}"]

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await read_by_peer(writer)

    notes: list[str] = []
    async with Transport(sockets=lambda info: NotingSocket(notes, *info[:3])) as transport:
        address = await serve(answer)
        assert (await exchange(transport, address)).status == 200
        assert (await exchange(transport, address)).status == 200
    assert notes[0] == "acknowledge"  # as soon as it is connected
    assert notes.count("read") >= 4
    after = [notes[index + 1] for index, note in enumerate(notes) if note == "read"]
    assert set(after) == {"acknowledge"}


async def read_by_peer(writer: asyncio.StreamWriter) -> None:
    """Return when the other side's kernel has everything that was written, and its program had turns to read it."""
    descriptor = writer.get_extra_info("socket").fileno()
    while struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4))[0]:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
