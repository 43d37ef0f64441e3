"""aiohttp's low-level server, with limits, and problem documents for what is not even HTTP."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp.http_exceptions import LineTooLong
from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

from galaxy_chassis.http.connections import PROGRESS, ConnectionGuard, ConnectionLimits, Guarded
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import RawResponse, problem_response
from galaxy_chassis.request_context import new_request_id

_log = logging.getLogger("galaxy_kernel.http")

LONGEST_TARGET, LONGEST_FIELD, MOST_FIELDS = 8190, 8192, 128
"""Bytes of a request's target, of a header's name and of its value, and how many headers.

The first two differ so that aiohttp's error, which is the same for both, shows by its limit which one it was.
"""
_LINGER = 1.0
"""Seconds for which what follows a refused head is read and thrown away: closed at once, the connection would be reset,
and the answer lost to a client that is still sending (RFC 9112, 9.6)."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for closing with a reset, in which the kernel keeps nothing that was not read."""


class Connection(RequestHandler):
    """One client connection. A head that aiohttp cannot parse is answered with a problem; its bytes are not logged."""

    __slots__ = (
        *("_before", "_discards", "_guard", "_longest_head", "_received", "_unread_at", "_unread_size"),
        *("head_begun_at", "may_have_long_head", "opened_at", "peer", "socket"),
    )

    def __init__(
        self,
        manager: "ConnectionFactory",
        guard: ConnectionGuard,
        before: Guarded | None,
        longest_head: int,
        **options: Any,
    ) -> None:
        """`before` is what the guard has counted for it so far: its TLS handshake. `longest_head` in bytes."""
        super().__init__(manager, **options)
        self._guard, self._before, self._longest_head = guard, before, longest_head
        self._discards = False
        self._unread_at: float | None = None
        self._unread_size = 0
        self.head_begun_at: float | None = None
        self._received = 0
        self.may_have_long_head = False
        """Whether a request may have come whose head is longer than `longest_head`: it stays so from then on."""

    @property
    def used(self) -> bool:
        """Whether it has brought a request."""
        return self._request_count > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve it, where the guard admits it."""
        self.socket = cast("asyncio.Transport", transport)
        self.opened_at = self._loop.time()
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        if self._before is not None:
            self._guard.remove(self._before)
            self._before = None
        if self._guard.admit(self):
            super().connection_made(transport)
        else:
            self.end()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._guard.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and note whether it leaves a head unfinished."""
        if self._discards:
            return
        self._received += len(data)
        if self._received + MOST_FIELDS > self._longest_head:  # a field's colon counts as if a space followed it
            self.may_have_long_head = True
        requests = self._request_count
        super().data_received(data)
        if data and self._request_count != requests:  # without data the parser goes on with what it has kept
            self._received = len(data)  # a part of it may be the next head's
        if self._messages:
            self.head_begun_at = None
        elif self.head_begun_at is None and self._waiter is not None:
            self.head_begun_at = self._loop.time()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._unread_at = None
        super().resume_writing()

    def idle_since(self) -> float | None:
        """Return since when it waits for a request, or leaves an answer unread; None while it is being served."""
        if self._waiter is not None and not self._waiter.done():
            return self._next_keepalive_close_time - self._keepalive_timeout
        return self._unread_at

    def unread_for(self, now: float) -> float:
        """Return for how many seconds its client has left an answer unread, as seen by calls of this."""
        size = self.socket.get_write_buffer_size()
        if not size:
            self._unread_at = None
            return 0.0
        if self._unread_at is None or size <= self._unread_size - PROGRESS:
            self._unread_at, self._unread_size = now, size
        return now - self._unread_at

    def end(self) -> None:
        """Close it at once, with a reset where an answer was not read."""
        if self.socket.get_write_buffer_size():
            peer: socket.socket | None = self.socket.get_extra_info("socket")
            if peer is not None:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.abort()

    def handle_error(  # type: ignore[override] # a RawResponse is all that aiohttp's connection needs of a response
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 # it quotes what was sent
    ) -> RawResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: the connection can only be closed")
        if status < 500:
            problem = _problem_of_head(exc)
        else:
            _log.error("response_write_failed", exc_info=exc)
            problem = Problem(status, "internal", "The answer could not be written.")
        response = problem_response(problem, new_request_id())
        response.force_close()
        return response

    def _make_error_handler(self, err_info: Any) -> Callable[[BaseRequest], Awaitable[StreamResponse]]:
        async def handler(request: BaseRequest) -> StreamResponse:
            response = self.handle_error(request, err_info.status, err_info.exc, err_info.message)
            await response.prepare(request)
            await self._linger()
            return cast("StreamResponse", _Written())

        return handler

    async def _linger(self) -> None:
        """Let the client read its answer: throw away what it still sends, until it closes or its time is up."""
        self._discards = True
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
            await asyncio.sleep(_LINGER)  # cancelled when the client closes


class _Written:
    """An answer that is written already."""

    keep_alive = False

    async def prepare(self, request: BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self) -> None:
        """Do nothing."""


def _problem_of_head(error: BaseException | None) -> Problem:
    """Return the problem for a head that could not be parsed (RFC 9112, 3; RFC 6585, 5)."""
    if isinstance(error, LineTooLong):
        if error.args[1] == LONGEST_TARGET:
            return Problem(414, "uri_too_long", f"The request's target is longer than {LONGEST_TARGET} bytes.")
        return _fields_too_large()
    if error is not None and "Too many headers" in str(error):
        return _fields_too_large()
    return Problem(400, "malformed_request", "The request is not well-formed HTTP/1.1.")


def _fields_too_large() -> Problem:
    detail = f"A request may have {MOST_FIELDS} headers, their names and values of at most {LONGEST_FIELD} bytes."
    return Problem(431, "headers_too_large", detail)


class ConnectionFactory(Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Any, limits: ConnectionLimits, longest_head: int) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._limits, self._longest_head = limits, longest_head
        self.guard = ConnectionGuard(limits, self._loop)

    def __call__(self, before: Guarded | None = None) -> RequestHandler:
        """Return a connection, which takes the place of what the guard has counted `before`."""
        return Connection(
            self,
            self.guard,
            before,
            self._longest_head,
            loop=self._loop,
            keepalive_timeout=self._limits.idle,
            access_log=None,  # None switches it off; ours is written in server
            auto_decompress=False,
            max_line_size=LONGEST_TARGET,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
        )
