"""A backend's answer as it comes (RFC 9112).

llhttp parses it, with none of its leniencies: conflicting lengths, bare line feeds, folded lines and control characters
are errors already. What is checked here is the rest by which two readers could disagree about where an answer ends.
An error ends the connection, and no byte that follows it is read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import lru_cache

from httptools import HttpParserError, HttpResponseParser

from galaxy_gateway.forwarding.errors import BackendError, BrokenError

BUFFERED = 262_144
"""Bytes of a body that may wait for their reader; then the backend has to wait."""
LONGEST_HEAD = 65_536
"""Bytes of a head, and of anything else that may come without a byte of a body."""
MOST_INTERIM = 16
"""Interim answers before the final one."""

_BODILESS = frozenset((204, 304))
_VERSIONS = ("1.0", "1.1")


class Response:
    """One answer: its head once `begun`, its body while it is read."""

    __slots__ = (
        *(
            "_chunks",
            "_error",
            "_fields",
            "_interim",
            "_loop",
            "_overhead",
            "_parser",
            "_resume",
            "_until_closed",
            "_waiter",
        ),
        *("_whole", "begun", "buffered", "complete", "headers", "keeps_alive", "length", "status"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, resume: Callable[[], None]) -> None:
        """`resume` is called when the reader has made room for more of the body."""
        self._loop, self._resume = loop, resume
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._whole: bytes | None = None
        self._overhead = self._interim = 0
        self._until_closed = False
        self._error: BackendError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.length: int | None = None
        """Bytes of the body, where the head says it."""
        self.begun = False
        """Whether the head is here."""
        self.complete = False
        """Whether all of it is here."""
        self.keeps_alive = False
        """Whether another answer may follow on the connection."""
        self.buffered = 0
        """Bytes of the body that wait for their reader."""

    @property
    def is_crowded(self) -> bool:
        """Whether the backend has to wait for the reader."""
        return self.buffered > BUFFERED and not self.complete

    async def begin(self) -> None:
        """Wait for the head. Raise BackendError."""
        while not self.begun:
            await self._more()

    async def read(self) -> bytes:
        """Return the body, each time it is asked for. Raise BackendError."""
        if self._whole is None:
            pieces = [] if self.complete else [piece async for piece in self.pieces()]  # mostly all of it is here
            self._whole = b"".join((*pieces, *self._chunks))
            self._chunks, self.buffered = [], 0
        return self._whole

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raise BackendError where it breaks off."""
        while True:
            if self._chunks:
                piece = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks, self.buffered = [], 0
                self._resume()
                yield piece
            elif self.complete:
                return
            else:
                await self._more()

    def feed(self, data: bytes) -> bool:
        """Read what the backend has sent, and return whether the connection can go on."""
        parser = self._parser
        if parser is None:
            return False
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, BrokenError) else error
            self.fail(BrokenError(f"not HTTP/1.1: {cause}"))
        else:
            if self._overhead > LONGEST_HEAD:
                self.fail(BrokenError(f"more than {LONGEST_HEAD} bytes without a body"))
        self._wake()
        return self.keeps_alive if self.complete else self._error is None

    def end(self) -> None:
        """Note that the backend sends no more: the end of an answer without a length, the break of any other."""
        if self._until_closed and self._error is None:
            self._completed()
            self._wake()
        self.fail(BrokenError("the connection was closed"))

    def fail(self, error: BackendError) -> None:
        """End an answer that is not complete; of one that is, only the connection."""
        self.keeps_alive, self._parser = False, None
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    def on_message_begin(self) -> None:
        """Raise BrokenError for a second answer, which nobody has asked for. The parser calls this and what follows."""
        if self.complete:
            raise BrokenError("more than one answer")
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a field of the head. Those after the body are passed over."""
        if not self.begun:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head. Raise BrokenError where it does not say what follows."""
        parser = self._parser
        assert parser is not None  # noqa: S101 # this is called by it
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101 and self._interim < MOST_INTERIM:
            self._interim += 1  # the final one follows (RFC 9110, 15.2)
            return
        if not 200 <= status < 600:
            raise BrokenError(f"the status {status}")
        self._frame(status, parser.get_http_version())
        self.status, self.keeps_alive, self.begun = status, parser.should_keep_alive(), True

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body for its reader."""
        self._overhead = 0
        self._chunks.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        """Note that an answer has ended; not so an interim one."""
        if self.begun:
            self._completed()

    def _frame(self, status: int, version: str) -> None:
        """Read the fields, and find out how the body ends (RFC 9112, 6.3)."""
        if self._overhead > LONGEST_HEAD and sum(len(name) + len(value) for name, value in self._fields) > LONGEST_HEAD:
            raise BrokenError(f"a head of more than {LONGEST_HEAD} bytes")
        chunked = False
        for name, value in self._fields:
            written, framing = _name(name)
            try:
                text = value.decode().rstrip()
            except UnicodeDecodeError:
                raise BrokenError("a field that is not UTF-8") from None
            self.headers.append((written, text))
            if framing == "content-length":
                self.length = int(text)
            elif framing == "transfer-encoding":
                if chunked or text.lower() != "chunked" or version != "1.1":
                    raise BrokenError("a transfer coding other than one chunked of HTTP/1.1")
                chunked = True
        if version not in _VERSIONS:
            raise BrokenError(f"the version {version}")
        if status in _BODILESS:
            self.length = 0
        self._until_closed = self.length is None and not chunked

    def _completed(self) -> None:
        self.complete, self._overhead = True, 0
        self._parser = None  # which refers to this

    async def _more(self) -> None:
        """Wait for more. Raise BackendError when it does not come."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@lru_cache(maxsize=512)
def _name(name: bytes) -> tuple[str, str]:
    """Return a field's name, ASCII as the parser has checked, and again in lower case where it frames the body."""
    written = name.decode("ascii")
    lower = written.lower()
    return written, lower if lower in ("content-length", "transfer-encoding") else ""
