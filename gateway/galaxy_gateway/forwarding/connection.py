"""One connection to a backend: a call at a time, each written at once."""

import asyncio
from typing import cast

from galaxy_gateway.forwarding.errors import BrokenError, LateError
from galaxy_gateway.forwarding.response import Response


class Connection(asyncio.Protocol):
    """Sends calls and hands what comes to their answers. Made by the loop's `create_connection`."""

    __slots__ = ("_deadline", "_is_paused", "_loop", "_response", "_timeout", "_transport", "idle_since")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        """`timeout` in seconds, between two pieces of an answer."""
        self._loop, self._timeout = loop, timeout
        self._response: Response | None = None
        self._deadline = 0.0
        self._is_paused = False
        self.idle_since = 0.0
        """When its last call ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_open(self) -> bool:
        """Whether it can take a call."""
        return not self._transport.is_closing()

    def send(self, request: bytes, deadline: float) -> Response:
        """Send a call, whose answer has to begin before `deadline`, and return its answer."""
        response = self._response = Response(self._loop, self._resume)
        self._deadline = deadline
        self._transport.write(request)
        return response

    def finish(self) -> bool:
        """End the call; return whether the connection is fit for another one. If not, it is closed."""
        response, self._response = self._response, None
        fit = (
            response is not None
            and response.complete
            and response.keeps_alive
            and not self._is_paused
            and not self._transport.get_write_buffer_size()  # it was answered before it was read to its end
            and not self._transport.is_closing()
        )
        if not fit:
            self.close()
        return fit

    def close(self) -> None:
        """Close it at once; a call in progress is broken."""
        self._transport.abort()
        if self._response is not None:
            self._response.fail(BrokenError("the connection was closed"))

    def check_deadline(self, now: float) -> None:
        """End a call that the backend has not gone on with in time; one that waits for its reader is not late."""
        response = self._response
        if response is None or response.complete or self._is_paused or now < self._deadline:
            return
        response.fail(LateError("no answer in time"))
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read a piece of the answer."""
        response = self._response
        if response is None or response.complete:
            self._transport.abort()  # nobody has asked for it
            return
        goes_on = response.feed(data)
        if response.begun:
            self._deadline = self._loop.time() + self._timeout
        if not goes_on:
            self._transport.abort()
        elif response.is_crowded:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """End the answer; the transport closes itself."""
        if self._response is not None:
            self._response.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # why does not matter: it is over
        """End the answer that has not ended."""
        if self._response is not None:
            self._response.fail(BrokenError("the connection was lost"))

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._deadline = self._loop.time() + self._timeout
            self._transport.resume_reading()
