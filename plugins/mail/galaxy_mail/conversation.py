"""The conversation with a relay after the login: mails, one after the other (RFC 5321).

Where the relay offers PIPELINING (RFC 2920), the commands of a mail go in one write, so that it costs two round trips
instead of four. The message itself always waits for the relay's 354: a relay that is lost before has not accepted it.

A conversation belongs to one task at a time, which must close it when it leaves before an answer has arrived.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAIL, RCPT, DATA = "MAIL FROM", "RCPT TO", "DATA"
"""The stages of a mail. Its RSET counts as the first, its message as the last."""
CLOSING = 421
"""The relay closes the connection, whatever the command (RFC 5321, section 3.8)."""
_GO_ON = 354
_MAX_REPLY = 1 << 15
"""Bytes of a reply, all its lines together: far above the 512 of a line (RFC 5321, section 4.5.3.1.5)."""
_PIECE = 1 << 16
"""Bytes of a message that are written before checking whether the relay keeps up."""
_PATIENCE = 1.0
"""Seconds for the answers to the rest of a group: some relays are slow on purpose after a refusal."""
_GOODBYE = 1.0
"""Seconds for a QUIT."""
_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?\r?", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the relay."""

    code: int
    text: str
    """Its lines without code, joined by LF. Without NUL and broken UTF-8, which Postgres cannot store."""


class Refused(Exception):  # noqa: N818 - the field's own word
    """The relay answered, but with a refusal."""

    def __init__(self, stage: str, reply: Reply) -> None:
        super().__init__(f"{stage}: {reply.code} {reply.text}")
        self.stage, self.reply = stage, reply


class Lost(Exception):  # noqa: N818 - says what became of the connection
    """There is no answer and there will be none."""

    def __init__(self, stage: str, cause: str, *, handed_over: bool = False) -> None:
        super().__init__(cause)
        self.stage = stage
        self.handed_over = handed_over
        """Whether the message was being sent: the relay may have accepted it."""


class _Step(NamedTuple):
    stage: str
    command: bytes
    good: Collection[int]


class Conversation(asyncio.Protocol):
    """States: usable → closed, by us or the relay; then every answer still awaited is `Lost`."""

    def __init__(self, transport: asyncio.Transport, extensions: Collection[str]) -> None:
        """Use an idle connection; `extensions` are EHLO's keywords in lower case."""
        self.extensions = extensions
        self._transport, self._parser = transport, ReplyParser()
        self._replies: deque[Reply] = deque()
        self._owed = 0
        """Replies that the relay still owes."""
        self._dirty = False
        """Whether a mail was begun but not ended: the next one needs RSET first."""
        self.stage = MAIL
        """The stage whose answer is awaited, or was awaited last."""
        self.handed_over = False
        """Whether the current mail's message was being sent: the relay may have accepted it."""
        self._end: str | None = "the connection was lost" if transport.is_closing() else None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether the relay has neither closed the connection nor sent an unexpected reply."""
        return self._end is None

    async def mail(self, sender: bytes, recipient: bytes, content: bytes) -> Reply:
        """Send one mail. Raise Refused and Lost, and ValueError for an address with control characters."""
        steps = self._steps(sender, recipient, len(content))
        self._dirty, self.handed_over = True, False
        for group in [steps] if "pipelining" in self.extensions else [[step] for step in steps]:
            await self._say(*group)
        self.handed_over = self.usable
        await self._pour(framed(content))
        reply = await self._reply(DATA)
        if reply.code != 250:
            await self._back_out(reply, left=0)
            raise Refused(DATA, reply)
        self._dirty = False
        return reply

    async def noop(self) -> None:
        """Check that the relay answers. Raise Refused and Lost."""
        await self._say(_Step("NOOP", b"NOOP", (250,)))

    async def offer(self, sender: bytes) -> None:
        """Check that the relay takes mails of a sender, and send none. Raise Refused and Lost."""
        self._dirty = True
        await self._say(_Step(MAIL, b"MAIL FROM:<%s>" % sender, (250, 251)))
        await self._say(_Step(MAIL, b"RSET", (250,)))
        self._dirty = False

    async def quit(self) -> None:
        """Send QUIT and close; wait a moment for the answer, whatever it is."""
        try:
            with contextlib.suppress(Refused, Lost, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._say(_Step("QUIT", b"QUIT", (221,)))
        finally:
            self.close()

    def close(self, cause: str = "the connection was closed") -> None:
        """Abort the connection; the first cause counts.

        Unsent data is dropped: half a message has no use, and a relay that no longer reads could hold the connection
        for ever.
        """
        if self._end is None:
            self._end = cause
        self._transport.abort()
        self._wake()

    def _steps(self, sender: bytes, recipient: bytes, size: int) -> list[_Step]:
        if _CONTROL.search(sender) or _CONTROL.search(recipient):
            raise ValueError("an address must not contain control characters")
        utf8 = b"" if recipient.isascii() else b" SMTPUTF8"
        declared = b" SIZE=%d" % size if "size" in self.extensions else b""
        steps = [
            _Step(MAIL, b"MAIL FROM:<%s>%s%s" % (sender, utf8, declared), (250, 251)),
            _Step(RCPT, b"RCPT TO:<%s>" % recipient, (250, 251)),
            _Step(DATA, b"DATA", (_GO_ON,)),
        ]
        return [_Step(MAIL, b"RSET", (250,)), *steps] if self._dirty else steps

    async def _say(self, *group: _Step) -> None:
        """Send commands in one write. Raise Refused for the first refusal, once all are answered, and Lost."""
        self._write(b"".join(step.command + b"\r\n" for step in group), replies=len(group))
        for number, step in enumerate(group, start=1):
            reply = await self._reply(step.stage)
            if reply.code not in step.good:
                await self._back_out(reply, left=len(group) - number)
                raise Refused(step.stage, reply)

    async def _back_out(self, refusal: Reply, left: int) -> None:
        """Read the answers to the rest of a group, so that the connection stays usable; or close it.

        A relay that refused the recipient but still expects the message gets an empty one, which has no recipient (RFC
        2920, section 3.1). A relay that accepted only the recipient might deliver that.
        """
        before = last = refusal
        try:
            async with asyncio.timeout(_PATIENCE):
                for _ in range(left):
                    before, last = last, await self._reply(DATA)
                if last.code == _GO_ON and before.code >= 400:
                    self._write(b".\r\n", replies=1)
                    await self._reply(DATA)
                    last = before
        except (Lost, TimeoutError):
            self.close()  # the refusal still counts
        if min(refusal.code, last.code) < 400:
            self.close()  # its answers do not match the commands

    async def _reply(self, stage: str) -> Reply:
        self.stage = stage
        while not self._replies:
            if self._end is not None:
                raise Lost(stage, self._end, handed_over=self.handed_over)
            await self._change()
        return self._replies.popleft()

    def _write(self, data: bytes, *, replies: int) -> None:
        if self._end is None:
            self._owed += replies
            self._transport.write(data)

    async def _pour(self, message: bytes) -> None:
        """Write a message as fast as the relay reads it."""
        self._write(message[:_PIECE], replies=1)
        for start in range(_PIECE, len(message), _PIECE):
            while self._paused and self._end is None:
                await self._change()
            self._write(message[start : start + _PIECE], replies=0)

    async def _change(self) -> None:
        """Wait until the relay replies, reads on, or is gone."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Keep the replies for the waiting task."""
        try:
            for reply in self._parser.feed(data):
                self._take(reply)
        except ValueError as malformed:
            self.close(str(malformed))
        self._wake()

    def _take(self, reply: Reply) -> None:
        """Keep one reply. An unexpected one would be mistaken for the next command's, so it ends the conversation."""
        if self._end is not None:
            return
        if not self._owed:
            self.close(f"unexpected reply: {reply.code} {reply.text}")
            return
        self._owed -= 1
        self._replies.append(reply)
        if reply.code == CLOSING:
            self.close(f"it closed the connection: {reply.code} {reply.text}")

    def eof_received(self) -> None:
        """End the conversation: a relay that sends no more accepts no more."""
        self.close("the relay closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the waiting task."""
        self.close(f"the connection was lost: {exc}" if exc else "the connection was lost")

    def pause_writing(self) -> None:
        """Hold the next piece back."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let the next piece go."""
        self._paused = False
        self._wake()


class ReplyParser:
    """Parses replies from bytes, in any pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._texts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Return the replies that are complete now. Raise ValueError for a malformed or too long one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"malformed reply {_readable(line[:80])!r}")
            self._size += len(line)
            _bound(self._size)
            self._texts.append((match[3] or b"").strip())
            if match[2] != b"-":
                yield Reply(int(match[1]), _readable(b"\n".join(self._texts)))
                self._texts, self._size = [], 0
        _bound(self._size + len(self._rest))


def framed(content: bytes) -> bytes:
    """Return a message as DATA transmits it: lines end in CRLF, leading dots are doubled, a lone dot ends it."""
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = _LINE_END.sub(b"\r\n", content)
    content = content.replace(b"\n.", b"\n..")
    dot, end = b"." if content.startswith(b".") else b"", b"" if content.endswith(b"\r\n") else b"\r\n"
    return b"%s%s%s.\r\n" % (dot, content, end)


def _bound(size: int) -> None:
    if size > _MAX_REPLY:
        raise ValueError(f"malformed reply of more than {_MAX_REPLY} bytes")


def _readable(text: bytes) -> str:
    return text.decode(errors="replace").replace("\0", "\ufffd")
