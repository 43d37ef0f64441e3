"""Server-sent events: from the bytes of a stream to its messages.

As the HTML standard interprets them (section 9.2.6, https://html.spec.whatwg.org/multipage/server-sent-events.html),
with one difference: a message that has a type but no data is not dropped, since `event: resync` needs none.
"""

import codecs
from dataclasses import dataclass

LARGEST_MESSAGE = 1024 * 1024
"""Characters of one message, or of one line: many times what the server's events have."""
_BOM = "\ufeff"


class OversizeError(ValueError):
    """A message is longer than any event of the server."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream."""

    id: str | None
    """The last id that the stream has said; None before the first."""
    event: str
    """The type: `message` where the stream does not say."""
    data: str


class Parser:
    """The state between pieces of a stream, wherever they are split."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        """The id of the last whole block that had one, be it a message or a heartbeat; None before."""
        self.retry: float | None = None
        """Seconds that the stream asks to wait before reconnecting; None until it does."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._began = False
        self._after_cr = False
        self._line: list[str] = []
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None
        self._size = 0

    def feed(self, piece: bytes) -> list[Message]:
        """Return the messages that a piece completes. Raise OversizeError."""
        text = self._decoder.decode(piece)
        if not self._began and text:
            self._began, text = True, text.removeprefix(_BOM)
        if self._after_cr and text:
            self._after_cr, text = False, text.removeprefix("\n")
        self._size += len(text)
        messages = []
        *lines, rest = _lines(text)
        for line in lines:
            message = self._end_line("".join((*self._line, line)))
            self._line.clear()
            if message is not None:
                messages.append(message)
        if rest:
            self._line.append(rest)
        self._after_cr = self._after_cr or text.endswith("\r")
        if self._size > LARGEST_MESSAGE and self._pending() > LARGEST_MESSAGE:
            raise OversizeError(f"a message is longer than {LARGEST_MESSAGE} characters")
        return messages

    def _pending(self) -> int:
        """Return the characters that are kept; what was dispatched does not count any more."""
        self._size = sum(map(len, self._line)) + sum(map(len, self._data))
        return self._size

    def _end_line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        self._set(name, value.removeprefix(" "))
        return None

    def _set(self, name: str, value: str) -> None:
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value[:12]) / 1000

    def _dispatch(self) -> Message | None:
        data, event = self._data, self._event
        self._data, self._event = [], ""
        self.last_id = self._id
        if not data and not event:
            return None
        return Message(self.last_id, event or "message", "\n".join(data))


def _lines(text: str) -> list[str]:
    """Return the lines of a text, and what follows its last line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
