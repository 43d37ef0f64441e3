"""One client's stream: where it is, and what ends it.

A stream has no queue and no timer. Until it is *live*, `resume` writes to it what it has missed; from then on the hub
writes each event straight to its transport, whose buffer is bounded: a client that reads too slowly is cut off and
resumes with its cursor.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from galaxy_gateway.callers import Caller
from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.messages import Message

LINGER = 1.0
"""Seconds that a client has to read what was written before its stream ended."""


class End(StrEnum):
    """Why a stream ended."""

    LEFT = "left"
    """The client closed it, or its connection was lost."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    """The session's time is over, unless the backend has extended it: the client connects again."""
    RESYNC = "resync"
    """Events may have been missed, revocations too: the client connects again, and its session is checked."""
    STOPPING = "stopping"
    SLOW = "slow"
    """The client leaves more unread than its buffer holds, or has read or answered nothing for two heartbeats."""
    MISUSED = "misused"
    """The client sent what it may not send."""
    FAILED = "failed"


class Transport(Protocol):
    """What a stream needs of an asyncio transport."""

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def is_closing(self) -> bool: ...
    def abort(self) -> None: ...


class Format(Protocol):
    """How one kind of stream is written."""

    name: str
    answered: bool
    """Whether clients answer heartbeats, so that silence means that they are gone."""

    def event(self, cursor: str, kind: str, payload: str) -> bytes:
        """Return a message."""

    def beat(self, cursor: Cursor | None) -> bytes:
        """Return what keeps an idle stream open; with the cursor up to which its client has everything, where known."""

    def last(self, end: End) -> bytes:
        """Return what is written when the stream ends."""


class Stream:
    """One client's stream, and what it has been sent so far."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_drain",
        "_transport",
        "account_id",
        "done",
        "end_reason",
        "expires_at",
        "format",
        "frames_received",
        "live",
        "position",
        "session_id",
        "slot",
        "stalled",
    )

    def __init__(
        self,
        caller: Caller,
        format: Format,  # noqa: A002 # the noun for it
        transport: Transport,
        drain: Callable[[], Awaitable[None]],
        *,
        buffer: int,
    ) -> None:
        """Make a stream that is not live. `drain` waits until the transport takes more; `buffer` is in bytes."""
        self.account_id, self.session_id, self.expires_at = caller.account_id, caller.session_id, caller.expires_at
        self.format, self._transport, self._drain, self._buffer = format, transport, drain, buffer
        self.position = 0
        """The number up to which the client has everything that is for it."""
        self.live = False
        """Whether the hub writes to it."""
        self.slot = 0
        """At which tick it has its heartbeat."""
        self.stalled = False
        """Whether something was unread or unanswered at the last heartbeat."""
        self.frames_received = 1
        """Frames from a WebSocket's client since the last heartbeat; its handshake counts as one."""
        self.end_reason: End | None = None
        self.done = asyncio.get_running_loop().create_future()
        """Done when the stream has ended."""

    @property
    def targets(self) -> tuple[str, str]:
        """Whose events it gets."""
        return self.account_id, self.session_id

    def deliver(self, message: Message, frame: bytes) -> bool:
        """Write an event, unless the client has it already; return whether it was written."""
        if message.number <= self.position:
            return False
        self.position = message.number
        self.write(frame)
        return True

    def write(self, frame: bytes) -> None:
        """Write, or cut the client off if it leaves too much unread."""
        transport = self._transport
        if self.end_reason is not None or transport.is_closing():
            return
        transport.write(frame)
        if transport.get_write_buffer_size() > self._buffer:
            self.cut_off()

    @property
    def full(self) -> bool:
        """Whether something is unread, so that whoever can wait should."""
        return self._transport.get_write_buffer_size() > self._buffer // 4

    async def drained(self, patience: float) -> None:
        """Wait until the transport takes more, and cut the client off if that is not so in time (seconds)."""
        try:
            async with asyncio.timeout(patience):
                await self._drain()
        except TimeoutError:
            self.cut_off()

    def beat(self, head: Cursor) -> None:
        """Keep the stream open; cut the client off if it has read or answered nothing since the last time."""
        unread = self._transport.get_write_buffer_size() > 0 or (self.format.answered and not self.frames_received)
        self.frames_received = 0
        if unread and self.stalled:
            self.cut_off()
            return
        self.stalled = unread
        known = self.live and self.position <= head.number
        self.write(self.format.beat(head if known else None))

    def end(self, reason: End) -> None:
        """End it, once the client has read what was written, or after `LINGER`."""
        if self.end_reason is None:
            self.write(self.format.last(reason))
        if self.end_reason is None:
            self._finish(reason)
            asyncio.get_running_loop().call_later(LINGER, self._transport.abort)

    def cut_off(self) -> None:
        """End it at once: the client does not read."""
        if self.end_reason is None:
            self._finish(End.SLOW)
            self._transport.abort()

    def abort(self) -> None:
        """Close the connection, whatever is unread."""
        self._transport.abort()

    def _finish(self, reason: End) -> None:
        self.end_reason, self.live = reason, False
        if not self.done.done():
            self.done.set_result(None)
