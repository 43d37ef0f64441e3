"""The connections to one backend: kept, over TCP, TLS or a Unix socket."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from galaxy_gateway.forwarding.connection import Connection
from galaxy_gateway.forwarding.errors import LateError, UnreachableError
from galaxy_gateway.forwarding.response import Response

CONNECTIONS = 256
"""Connections to each backend; further calls wait for one, within their time."""
KEPT = 60.0
"""Seconds an idle connection is kept: less than the backend keeps its own, so that this side closes first."""
CONNECT_WITHIN = 3.0
"""Seconds for name, connection and TLS handshake."""
UNIX = "unix://"

_SECOND_FAMILY_AFTER = 0.25
"""Seconds after which IPv4 is tried beside an IPv6 that does not answer (RFC 8305, 5)."""
_LOOK = 1.0
"""Seconds between two looks at all connections; less where the time limit is short."""


class Pool:
    """Makes calls over kept connections, the one used last first. One timer sees to the time limits of all of them."""

    def __init__(self, url: str, *, timeout: float, tls: ssl.SSLContext | None) -> None:
        """`timeout` in seconds, between two pieces of an answer."""
        self.url = url
        self._loop, self._timeout = asyncio.get_running_loop(), timeout
        parts = urlsplit(url)
        self._path = unquote(parts.path) if url.startswith(UNIX) else None
        self._host = parts.hostname or ""
        self._is_tls = parts.scheme == "https"
        self._tls = (tls or ssl.create_default_context()) if self._is_tls else None
        self._port = parts.port or (443 if self._is_tls else 80)
        self._numeric = _numeric(self._host, self._port)
        self.host = parts.netloc or "backend"
        """What calls name as their host."""
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._idle: deque[Connection] = deque()
        """The one used last is the last."""
        self._busy: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, request: bytes, deadline: float) -> tuple[Connection, Response]:
        """Send a call, and return its answer once it has begun, with the connection, to be given to `end`.

        Raise BackendError: UnreachableError where nothing was sent.
        """
        await self._enter(deadline)
        try:
            connection = self._kept() or await self._connect(deadline)
        except BaseException:
            self._places.release()
            raise
        self._busy.add(connection)
        if self._timer is None:
            self._look_later()
        response = connection.send(request, deadline)
        try:
            await response.begin()
        except BaseException:
            self.end(connection)
            raise
        return connection, response

    def end(self, connection: Connection) -> None:
        """End a call: keep its connection where another answer may follow, close it where not."""
        self._busy.discard(connection)
        self._places.release()
        if connection.finish():
            connection.idle_since = self._loop.time()
            self._idle.append(connection)

    def close(self) -> None:
        """Close every connection. Calls in progress are broken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()

    async def _enter(self, deadline: float) -> None:
        """Wait for a place. Raise LateError."""
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError:
            raise LateError("no connection was free") from None

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and self._loop.time() - connection.idle_since < KEPT:
                return connection
            connection.close()
        return None

    async def _connect(self, deadline: float) -> Connection:
        """Open a connection. Raise UnreachableError; LateError when the call's own time is over."""
        within = min(self._loop.time() + CONNECT_WITHIN, deadline)
        try:
            async with asyncio.timeout_at(within):
                return await self._open()
        except TimeoutError:
            if within == deadline:
                raise LateError("no connection in time") from None
            raise UnreachableError(f"no connection within {CONNECT_WITHIN:g} s") from None
        except OSError as error:
            raise UnreachableError(str(error)) from None

    async def _open(self) -> Connection:
        loop = self._loop
        if self._path is not None:
            return (await loop.create_unix_connection(self._make, self._path))[1]
        found = self._numeric or await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        connected = await start_connection(found, happy_eyeballs_delay=_SECOND_FAMILY_AFTER, interleave=1, loop=loop)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = self._host if self._tls is not None else None
            return (await loop.create_connection(self._make, sock=connected, ssl=self._tls, server_hostname=name))[1]
        except BaseException:
            connected.close()
            raise

    def _make(self) -> Connection:
        return Connection(self._loop, self._timeout)

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(min(_LOOK, self._timeout / 8), self._look)

    def _look(self) -> None:
        """End the calls that are late, and the connections that have idled too long."""
        now = self._loop.time()
        for connection in tuple(self._busy):
            connection.check_deadline(now)
        while self._idle and (now - self._idle[0].idle_since >= KEPT or not self._idle[0].is_open):
            self._idle.popleft().close()
        self._timer = None
        if self._busy or self._idle:
            self._look_later()


def _numeric(host: str, port: int) -> Sequence[AddrInfoType]:
    """Return the address that a host is already; nothing for a name, which has to be looked up each time."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return ()
