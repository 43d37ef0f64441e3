"""Server-sent events (WHATWG HTML, 9.2), written to the connection of an aiohttp request."""

from aiohttp.web import BaseRequest

from galaxy_chassis.http.problems import Problem
from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.messages import server_sent
from galaxy_gateway.streams.stream import End, Stream

LAST_EVENT_ID = "Last-Event-ID"
MOST_INPUT = 16 * 1024
"""Bytes that a client may send on the connection of its stream: requests that follow too early are not answered."""


class ServerSentEvents:
    """How these streams are written."""

    name = "sse"
    answered = False

    def event(self, cursor: str, kind: str, payload: str) -> bytes:
        return server_sent(cursor, kind, payload)

    def beat(self, cursor: Cursor | None) -> bytes:
        """Return a comment, and where known an `id`, which alone makes no event, so that it is a recent one."""
        return b":\n\n" if cursor is None else f":\nid: {cursor}\n\n".encode()

    def last(self, end: End) -> bytes:  # noqa: ARG002 # of the protocol
        """Return nothing: the connection's end says it."""
        return b""


SERVER_SENT_EVENTS = ServerSentEvents()


def opening(retry: float, cursor: Cursor | None) -> bytes:
    """Return the first block: after how many seconds to connect again, and for a client without one, a cursor."""
    milliseconds = f"retry: {round(retry * 1000)}\n"
    return f"{milliseconds}\n".encode() if cursor is None else f"{milliseconds}id: {cursor}\n\n".encode()


def check(request: BaseRequest) -> None:
    """Raise Problem 400 `malformed_request` for a request with a body, which would mix with what is ignored."""
    if request.body_exists:
        raise Problem(400, "malformed_request", "A request for the event stream has no body.")


class IgnoredInput:
    """What a client sends on the connection of its stream: passed over up to a bound, so that none of it is kept.

    The connection is still read, because that is how a client that leaves is noticed at once.
    """

    __slots__ = ("_left", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream, self._left = stream, MOST_INPUT

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Count the data; called by aiohttp's connection in place of its parser."""
        self._left -= len(data)
        if self._left < 0:
            self._stream.end(End.MISUSED)
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing: the handler is cancelled when the connection is lost."""
