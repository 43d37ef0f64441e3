"""Clients that send or read slowly, or connect too often: cut off and counted, while others are served.

Time is moved by making connections older: what is tested are the gateway's own limits, without waiting for them.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from gateway_doubles import ACCOUNT, AS_USER, EVENTS, GOOD, PUBLIC, Front, Start
from push_backend import PushBackend, until

HEAD = f"POST {PUBLIC} HTTP/1.1\r\nHost: x\r\n".encode()


def guard(front: Front) -> Any:
    """Return what watches over the gateway's connections."""
    assert front.gateway.server._factory is not None
    return front.gateway.server._factory.guard


def pass_time(front: Front, seconds: float) -> None:
    """Make every connection so much older, and have the gateway look at all."""
    watching = guard(front)
    for connection in watching._all.members:
        connection.opened_at -= seconds
        if connection.head_begun_at is not None:
            connection.head_begun_at -= seconds
        if connection._unread_at is not None:
            connection._unread_at -= seconds
    watching.sweep()


@asynccontextmanager
async def connected(front: Front) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a bare connection that the gateway has accepted."""
    known = len(guard(front))
    reader, writer = await asyncio.open_connection(*front.gateway.address.split(":"))
    await until(lambda: len(guard(front)) == known + 1)
    try:
        yield reader, writer
    finally:
        writer.close()


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """Return whether the gateway closes without a byte."""
    async with asyncio.timeout(20):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def serves(front: Front) -> bool:
    """Return whether another client, on the connection that it keeps, is served."""
    return (await front.ask("GET", PUBLIC))[0] == 200


@pytest.mark.parametrize(("sent", "reason"), [(b"", "silent"), (HEAD + b"X-Slow: ", "slow_head")])
async def test_a_head_that_does_not_end_is_cut_off(front: Front, sent: bytes, reason: str) -> None:
    """It has ten seconds in all, however many bytes come meanwhile."""
    assert await serves(front)
    async with connected(front) as (reader, writer):
        for _ in range(2):
            writer.write(sent)
            await until(lambda: not sent or any(each.head_begun_at for each in guard(front)._all.members))
            pass_time(front, 4.5)
            assert front.gateway.server.connections == 2
        pass_time(front, 1.5)
        assert await hung_up(reader)
    assert front.gateway.server.connections_ended[reason] == 1
    assert await serves(front)
    assert sum(front.gateway.server.connections_ended.values()) == front.gateway.server.connections == 1


async def test_a_body_that_does_not_end_is_given_up(front: Front) -> None:
    """It is answered 503 when the time of a request is over, its connection is closed, and nothing is forwarded."""
    assert await serves(front)
    requests, forwarded = front.gateway.server.in_flight, len(front.backend.requests)
    usual = requests._limit
    async with connected(front) as (reader, writer):
        requests.close()  # its timer, which is for the end of the request before
        requests._limit = 0.05
        writer.write(HEAD + b"Content-Length: 10\r\n\r\nabc")
        await until(lambda: requests._deadlines)
        requests._limit = usual
        for each in guard(front)._all.members:
            each._lingering_time = 0.05  # aiohttp's ten seconds for the rest of the body
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(await reader.readexactly(length))["code"] == "timeout"
        assert await serves(front)
        assert await hung_up(reader)
    assert (len(requests), len(front.backend.requests)) == (0, forwarded + 1)


async def test_a_long_answer_that_is_not_read_is_cut_off(front: Front) -> None:
    """The backend is asked for no more than buffers hold; after thirty seconds both connections are closed."""
    ended, written = asyncio.Event(), 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(bytes(65_536))
                written += 65_536
        finally:
            ended.set()

    assert await serves(front)
    front.backend.handler = endless
    async with connected(front) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a transport that reads, too
        writer.write(f"GET {PUBLIC} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until(lambda: written)
        front.backend.handler = None
        assert await serves(front)

        def cut_off() -> bool:
            pass_time(front, 31.0)
            return front.gateway.server.connections_ended["unread"] == 1

        await until(cut_off)
        await until(ended.is_set)
    assert written < 64 * 2**20
    await until(lambda: len(front.gateway.server.in_flight) == 0)
    assert await serves(front)


async def test_a_stream_that_is_not_read_is_cut_off(start: Start, push: PushBackend) -> None:
    """Beyond its buffer it is closed; a client that reads gets everything."""
    front = await start(push_addr=push.address, stream_buffer=str(128 * 1024), stream_heartbeat="5m")
    await until(lambda: front.gateway._streams.subscribed)
    client, ended = await front.listen(), front.gateway._streams._metrics.ended
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.setblocking(False)
        loop, (host, port) = asyncio.get_running_loop(), front.gateway.address.split(":")
        await loop.sock_connect(silent, (host, int(port)))
        request = f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {GOOD}\r\n\r\n"
        await loop.sock_sendall(silent, request.encode())
        await until(lambda: front.gateway._streams._hub._joined == 2)
        for n in range(30):
            await push.publish(n, account_id=ACCOUNT, payload=json.dumps({"n": n, "fill": "x" * 60_000}))
            await client.heard(n + 1)
        await until(lambda: ended["slow"] == 1)
    assert (client.numbers, client.ended, dict(ended)) == (list(range(30)), False, {"slow": 1})
    assert await serves(front)
    client.close()


async def test_one_address_has_its_connections_and_others_have_theirs(start: Start, push: PushBackend) -> None:
    """One more than the limit costs that address an idle connection, or is closed where none is idle."""
    front = await start(push_addr=push.address, max_connections_per_client="2")
    await until(lambda: front.gateway._streams.subscribed)
    streams = [await front.listen() for _ in range(2)]
    ended = front.gateway.server.connections_ended
    with pytest.raises(aiohttp.ClientError):
        await front.ask("GET", PUBLIC)
    assert (ended["refused"] > 0, ended["displaced"]) == (True, 0)
    elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        aiohttp.ClientSession(f"http://{front.gateway.address}", connector=elsewhere) as other,
        other.get(PUBLIC, headers=AS_USER) as answer,
    ):
        assert answer.status == 200
    streams[0].close()
    await until(lambda: len(front.gateway._streams._hub) == 1)
    assert await serves(front)  # on a second connection, which is idle from now on
    await until(lambda: any(each.idle_since() is not None for each in guard(front)._all.members))
    for group in guard(front)._by_network.values():
        group._listed_at = float("-inf")  # the list of idle ones is used for a moment
    async with aiohttp.ClientSession(f"http://{front.gateway.address}") as another, another.get(PUBLIC) as answer:
        assert answer.status == 200
    assert ended["displaced"] == 1
    await push.publish(1, account_id=ACCOUNT)
    await streams[1].heard(1)
    streams[1].close()
