"""HTTP to engines: kept connections, an answer read under a limit, and acknowledged at once.

An engine that writes an answer in two small pieces waits, with Nagle's algorithm, until the first is acknowledged, and
Linux delays that by 40 ms. `TCP_QUICKACK` ends with the next packet sent, so it is set again after each read. It is set
where aiohttp hears of data, not in a socket's `recv`, because uvloop does not call that.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler

from galaxy_engine import limits
from galaxy_engine.failures import EngineError, EngineInvalid, EngineTimeout, EngineTooLarge

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_PIECE = 64 * limits.KIB
_CONNECTIONS = 16
"""To one engine, at most."""
_KEEP = 30.0
"""Seconds that an idle connection is kept."""

Pieces = Sequence[bytes | memoryview]
"""A request's body, in order, so that a large state need not be copied into it."""
Sockets = Callable[[Any], socket.socket]


class Answer(msgspec.Struct, frozen=True):
    """What came back, whatever its status."""

    status: int
    body: bytearray
    cut: bool = False
    """Whether only the beginning of the body was read."""

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for people: control characters replaced."""
        text = self.body[:2000].decode("utf-8", "replace")
        return "".join(character if character.isprintable() else " " for character in text)


class Transport:
    """Connections to any number of engines; one a process is enough."""

    def __init__(
        self, sockets: Sockets | None = None, connections: int = _CONNECTIONS, acknowledge: bool = True
    ) -> None:
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=connections, keepalive_timeout=_KEEP, force_close=False, socket_factory=sockets
        )
        if acknowledge:
            handler: type[ResponseHandler] = _AcknowledgingHandler
            connector._factory = partial(handler, loop=asyncio.get_running_loop())
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )
        # else aiohttp sends a GET, PUT or DELETE twice for each time we send it
        self._session._retry_connection = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def exchange(
        self,
        method: str,
        address: str,
        path: str,
        body: Pieces = (),
        *,
        headers: Mapping[str, str],
        seconds: float,
        largest: int,
    ) -> Answer:
        """Return the answer to a request; connecting, writing and reading take `seconds` at most.

        A 200 with a body of more than `largest` bytes raises `EngineTooLarge`; of other answers the beginning is read.
        Raise `EngineTimeout`, `EngineError` if there is no (whole) answer, `EngineInvalid` if it is not HTTP as agreed.
        Redirects are not followed. The request is sent twice if a kept connection turns out to be closed: every call of
        the contract may be repeated.
        """
        name = f"{method} {path} of the engine at {address}"
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._attempt(method, address, path, body, headers, largest, name)
                except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError):
                    return await self._attempt(method, address, path, body, headers, largest, name)
        except TimeoutError:
            raise EngineTimeout(f"{name} took longer than {seconds:g} s") from None
        except aiohttp.ClientResponseError as exc:
            raise EngineInvalid(f"{name} was not answered in HTTP", str(exc)) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise EngineError(f"{name} was not answered: {exc}", repr(exc)) from exc

    async def _attempt(
        self, method: str, address: str, path: str, body: Pieces, headers: Mapping[str, str], largest: int, name: str
    ) -> Answer:
        data, length = _payload(body)
        async with self._session.request(
            method, f"http://{address}{path}", data=data, headers={**headers, **length}, allow_redirects=False
        ) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                response.close()
                raise EngineInvalid(f"{name} was answered compressed, which nobody asked for")
            if response.status != 200:
                return await _beginning(response)
            return Answer(200, await _whole(response, largest, name))


def _payload(body: Pieces) -> tuple[bytes | AsyncIterator[bytes | memoryview] | None, dict[str, str]]:
    """Return a body for aiohttp and the headers that go with it: small ones whole, large ones in pieces."""
    if not body:
        return None, {}
    length = sum(len(piece) for piece in body)
    headers = {"Content-Type": "application/json", "Content-Length": str(length)}
    return (b"".join(body) if length <= _PIECE else _sliced(body)), headers


async def _sliced(body: Pieces) -> AsyncIterator[bytes | memoryview]:
    for piece in body:
        view = memoryview(piece)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]


async def _whole(response: aiohttp.ClientResponse, largest: int, name: str) -> bytearray:
    body = bytearray()
    announced = response.content_length or 0
    if announced <= largest:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > largest:
                break
        else:
            return body
    response.close()
    raise EngineTooLarge(f"the answer to {name} has more than {largest} bytes")


async def _beginning(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limits.SMALL_BYTES:
            response.close()
            return Answer(response.status, body[: limits.SMALL_BYTES], cut=True)
    return Answer(response.status, body)


class _AcknowledgingHandler(ResponseHandler):
    """aiohttp's side of a connection, which acknowledges at once what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._acknowledge()

    def data_received(self, data: bytes) -> None:
        self._acknowledge()
        super().data_received(data)

    def _acknowledge(self) -> None:
        if _QUICKACK is None or self.transport is None:
            return
        with contextlib.suppress(OSError):  # closed by now
            self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
