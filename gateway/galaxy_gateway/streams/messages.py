"""What clients receive: an event or a resync, as server-sent event and as WebSocket frame.

The bytes are the same for all clients, so that an event is encoded once and written to each: server-sent events need no
framing of their own, because the answer ends with its connection, and a server's WebSocket frames are not masked.
"""

from dataclasses import dataclass

import msgspec

SESSION_REVOKED = "session.revoked"
"""The kind that ends the streams of its target, a session (SPEC P-3)."""
RESYNC = "resync"

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
"""First bytes of unfragmented WebSocket frames (RFC 6455, 5.2)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event."""

    number: int
    """Its place within the generation."""
    cursor: str
    target: str
    """The id of its account or session."""
    kind: str
    payload: str
    """JSON in one line."""

    @property
    def ends_session(self) -> bool:
        """Whether its target, a session, has ended."""
        return self.kind == SESSION_REVOKED

    @property
    def size(self) -> int:
        """About the bytes of memory that it occupies."""
        return 512 + len(self.payload)


def one_line(payload: str) -> str:
    """Return JSON without line breaks, which may stand only between its tokens."""
    if "\n" in payload or "\r" in payload:
        return payload.replace("\r", " ").replace("\n", " ")
    return payload


def server_sent(cursor: str, kind: str, payload: str) -> bytes:
    """Return a message as server-sent event."""
    return f"id: {cursor}\nevent: {kind}\ndata: {payload}\n\n".encode()


def websocket_text(cursor: str, kind: str, payload: str) -> bytes:
    """Return a message as a WebSocket frame with `{id, event, data}`."""
    head = msgspec.json.encode({"id": cursor, "event": kind})
    return _frame(_TEXT, head[:-1] + b',"data":' + payload.encode() + b"}")


def websocket_close(code: int, reason: str) -> bytes:
    """Return a close frame (RFC 6455, 5.5.1)."""
    return _frame(_CLOSE, code.to_bytes(2, "big") + reason.encode())


def websocket_ping() -> bytes:
    """Return a ping without data."""
    return _frame(_PING, b"")


def websocket_pong(data: bytes) -> bytes:
    """Return the answer to a ping with this data."""
    return _frame(_PONG, data)


def _frame(first: int, data: bytes) -> bytes:
    length = len(data)
    if length < 126:
        return bytes((first, length)) + data
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + data
    return bytes((first, 127)) + length.to_bytes(8, "big") + data
