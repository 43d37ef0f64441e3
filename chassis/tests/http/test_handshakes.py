"""TLS handshakes count as connections, from the moment they are accepted."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop
from aiohttp.web import BaseRequest
from certificates import certificate

from galaxy_chassis.errors import BootError
from galaxy_chassis.http.connections import ConnectionLimits
from galaxy_chassis.http.handshakes import Handshake
from galaxy_chassis.http.response import AnyResponse, json_response
from galaxy_chassis.http.server import HttpServer

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer(request: BaseRequest) -> AnyResponse:
    return json_response(200, b"{}", "r-1")


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server shows, and what a client that trusts it uses."""
    pem, key = certificate()
    (tmp_path / "both.pem").write_bytes(pem + key)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(tmp_path / "both.pem")
    return shown, ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_handshake_counts_as_a_connection(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """It makes place for who finishes one, ends in time or with its server, and is forgotten when it fails."""
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(_crowd(*contexts))


async def _crowd(shown: ssl.SSLContext, trusted: ssl.SSLContext) -> None:
    server = HttpServer("127.0.0.1:0", answer, limits=ConnectionLimits(per_client=3), tls=shown)
    await server.start()
    silent = [await _connect(server) for _ in range(3)]
    await _until(lambda: server.connections == 3)

    assert await _is_served(server, trusted)
    await _until(lambda: any(reader.at_eof() for reader, _ in silent))
    await _until(lambda: server.connections == 2)
    assert server.connections_ended["displaced"] == 1

    (plain, writer), (last, _) = [each for each in silent if not each[0].at_eof()]
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await _hung_up(plain)
    await _until(lambda: server.connections == 1)

    assert server._factory is not None
    for each in server._factory.guard._all.members:
        assert isinstance(each, Handshake)
        each.opened_at -= 11
    server._factory.guard.sweep()
    await _hung_up(last)
    assert (server.connections, server.connections_ended["silent"]) == (0, 1)

    pending = await _connect(server)
    await _until(lambda: server.connections == 1)
    await server.close()
    await _hung_up(pending[0])
    with pytest.raises(ConnectionRefusedError):
        await _connect(server)
    for _, writer in (*silent, pending):
        writer.close()
    await _until(lambda: len(asyncio.all_tasks()) == 1)


async def test_an_address_that_is_taken_is_named(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """As without TLS: the error names the variable, and nothing listens."""
    first = HttpServer("127.0.0.1:0", answer, tls=contexts[0])
    await first.start()
    with pytest.raises(BootError, match="BACKEND_HTTP_LISTEN_ADDR: cannot listen"):
        await HttpServer(first.address, answer, tls=contexts[0]).start()
    await first.close()


async def _connect(server: HttpServer) -> Stream:
    host, _, port = server.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _is_served(server: HttpServer, trusted: ssl.SSLContext) -> bool:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=trusted)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    seen = await reader.read()
    writer.close()
    await writer.wait_closed()
    return seen.startswith(b"HTTP/1.1 ")


async def _hung_up(reader: asyncio.StreamReader) -> None:
    """Wait for the server to close; a handshake that fails may be answered with an alert before."""
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            await reader.read()


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.002)
