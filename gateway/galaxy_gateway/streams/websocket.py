"""The same events on a WebSocket (RFC 6455): handshake, and what clients may send.

A client may send `{"last_event_id": …}` first, and pings. Events follow that message, or come after a second without
one. Extensions are not negotiated, so frames are the same bytes for every client.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from aiohttp import WSMsgType
from aiohttp.web import BaseRequest, HTTPException, WebSocketResponse

from galaxy_chassis.clock import wait_for_event
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import SERVER
from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.messages import websocket_close, websocket_ping, websocket_pong, websocket_text
from galaxy_gateway.streams.stream import LINGER, End, Stream

SUBPROTOCOL = "galaxy.events.v1"
BEARER = "galaxy.bearer."
"""Prefix of the subprotocol with a session token, since browsers cannot set headers here. It is never answered."""
FIRST_WITHIN = 1.0
"""Seconds to wait for a client's first message."""
MAX_MESSAGE = 4096
MAX_FRAMES = 60
"""Frames of a client between two heartbeats, pings and pongs included."""

_CLOSE = {
    End.REVOKED: (1008, "the session has ended"),
    End.EXPIRED: (1008, "the session's time is over: connect again"),
    End.RESYNC: (1012, "events may have been missed: connect again"),
    End.STOPPING: (1001, "going away"),
    End.MISUSED: (1008, "send one message, {last_event_id}, and pings, no more than one a second"),
    End.FAILED: (1011, "the gateway failed"),
    End.LEFT: (1000, ""),
}


class WebSocketMessages:
    """How these streams are written."""

    name = "websocket"
    answered = True

    def __init__(self) -> None:
        self._last = {end: websocket_close(code, reason) for end, (code, reason) in _CLOSE.items()}
        self._ping = websocket_ping()

    def event(self, cursor: str, kind: str, payload: str) -> bytes:
        return websocket_text(cursor, kind, payload)

    def beat(self, cursor: Cursor | None) -> bytes:  # noqa: ARG002 # of the protocol
        """Return a ping."""
        return self._ping

    def last(self, end: End) -> bytes:
        """Return the close frame."""
        return self._last[end]


WEBSOCKET_MESSAGES = WebSocketMessages()


class FirstMessage(msgspec.Struct, forbid_unknown_fields=True):
    """What a client may send first."""

    last_event_id: str | None = None
    """The cursor of the last message that it has; null: events from now on."""


def offered(request: BaseRequest) -> list[str]:
    """Return the subprotocols that the client offers."""
    lines = request.headers.getall("Sec-WebSocket-Protocol", ())
    return [name.strip() for line in lines for name in line.split(",")]


def bearer_token(request: BaseRequest) -> str | None:
    """Return the session token among the subprotocols, or None where there is none, or more than one."""
    tokens = [name.removeprefix(BEARER) for name in offered(request) if name.startswith(BEARER)]
    return tokens[0] if len(tokens) == 1 and tokens[0] else None


def check(request: BaseRequest, origin_allowed: Callable[[str], bool]) -> None:
    """Raise Problem 403 `origin_refused` for a foreign page, 400 `malformed_request` without our subprotocol."""
    origin = request.headers.get("Origin")
    if origin is not None and not origin_allowed(origin):
        raise Problem(403, "origin_refused", "Pages of this origin may not open event streams here.")
    if SUBPROTOCOL not in offered(request):
        raise Problem(400, "malformed_request", f"Sec-WebSocket-Protocol: offer the subprotocol {SUBPROTOCOL}.")


async def upgrade(request: BaseRequest, request_id: str, extra: Mapping[str, str]) -> WebSocketResponse:
    """Answer the handshake. Raise Problem 400 `malformed_request` for one that is not well-formed."""
    socket = WebSocketResponse(
        autoclose=False,
        autoping=False,
        compress=False,
        max_msg_size=MAX_MESSAGE,
        protocols=(SUBPROTOCOL,),
        timeout=LINGER,
    )
    socket.headers.update({"Server": SERVER, "X-Request-Id": request_id, **extra})
    try:
        await socket.prepare(request)
    except HTTPException as error:
        raise Problem(
            400, "malformed_request", "The WebSocket handshake is not well-formed.", headers=_VERSION
        ) from error
    return socket


_VERSION = {"Sec-WebSocket-Version": "13"}
"""What a client with another version is told (RFC 6455, 4.4)."""


class Conversation:
    """What one client sends."""

    __slots__ = ("_first", "_first_arrived", "_late", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._first: FirstMessage | None = None
        self._first_arrived = asyncio.Event()
        self._late: Callable[[], None] | None = None

    async def last_event_id(self, late: Callable[[], None]) -> str | None:
        """Return the cursor of the client's first message, or None; call `late` for a cursor that comes too late."""
        await wait_for_event(self._first_arrived, FIRST_WITHIN)
        if self._first is None:
            self._late = late
            return None
        return self._first.last_event_id

    async def listen(self, socket: WebSocketResponse) -> None:
        """Read what the client sends until it or the connection ends the stream."""
        stream = self._stream
        while True:
            message = await socket.receive()
            stream.frames_received += 1
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                break
            if stream.frames_received > MAX_FRAMES or not self._accept(message.type, message.data):
                stream.end(End.MISUSED)
        if message.type is WSMsgType.CLOSE:
            stream.end(End.LEFT)

    def _accept(self, kind: WSMsgType, data: bytes | str) -> bool:
        """Process a frame; return whether a client may send it."""
        if kind is WSMsgType.PING:
            self._stream.write(websocket_pong(bytes(data)))  # type: ignore[arg-type] # a ping's data are bytes
        elif kind is not WSMsgType.PONG:
            return kind is WSMsgType.TEXT and self._accept_first(data)
        return True

    def _accept_first(self, text: bytes | str) -> bool:
        if self._first is not None:
            return False
        try:
            self._first = msgspec.json.decode(text, type=FirstMessage)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        self._first_arrived.set()
        if self._late is not None and self._first.last_event_id:
            self._late()
        return True
