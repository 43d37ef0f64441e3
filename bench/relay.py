"""A mail relay in this process that accepts everything: just enough of SMTP (RFC 5321) for measures."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

Took = Callable[[str, bytes, float], None]
"""Called with each mail: its recipient, its bytes, and when MAIL FROM was read, in monotonic seconds."""
_RECIPIENT = re.compile(rb"TO:<([^>]*)>", re.IGNORECASE)


@asynccontextmanager
async def relay(took: Took) -> AsyncIterator[int]:
    """Listen until the block ends, and return the port."""
    server = await asyncio.get_running_loop().create_server(lambda: _Conversation(took), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class _Conversation(asyncio.Protocol):
    def __init__(self, took: Took) -> None:
        self._took = took
        self._buffer = b""
        self._in_data = False
        self._recipient, self._came = "", 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self._transport.write(b"220 bench ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._buffer += data
        while True:
            part, found, rest = self._buffer.partition(b"\r\n.\r\n" if self._in_data else b"\r\n")
            if not found:
                return
            self._buffer = rest
            self._transport.write(self._answer(part, now))

    def _answer(self, part: bytes, now: float) -> bytes:
        if self._in_data:
            self._in_data = False
            self._took(self._recipient, part, self._came)
            return b"250 taken\r\n"
        verb = part[:4].upper()
        if verb == b"MAIL":
            self._came = now
        elif verb == b"RCPT" and (found := _RECIPIENT.search(part)):
            self._recipient = found[1].decode()
        elif verb == b"DATA":
            self._in_data = True
            return b"354 go on\r\n"
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 OK\r\n"
