"""An engine that does nothing, over HTTP: `python -m bench.null_engine PORT [SECONDS]`; each turn takes SECONDS.

The next position is the state that came with the turn; each seat has a report of 260 bytes. It is as quick as a server
in Python can be, so that what is measured with it is the host's side.
"""

import asyncio
import sys
from typing import cast

import msgspec
import uvloop
from msgspec import Raw

from bench.games import DESCRIBE, REPORT, SEATS
from galaxy_engine.messages import Position, Turn

DELAY = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_REPORTS = {seat: Raw(REPORT) for seat in range(1, SEATS + 1)}
_TURN = msgspec.json.Decoder(Turn)


def answer(path: bytes, body: bytes) -> bytes:
    """Return the body of the answer to a call."""
    if path.endswith(b"/turns"):
        turn = _TURN.decode(body)
        return msgspec.json.encode(Position(turn=turn.turn + 1, state=cast("Raw", turn.state), reports=_REPORTS))
    if path.endswith(b"/validate"):
        return b'{"accepted":true}'
    return msgspec.json.encode(DESCRIBE) if path.endswith(b"/describe") else b"{}"


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._pending) < end + 4 + length:
                return
            path = head.split(b" ", 2)[1]
            body = answer(path, self._pending[end + 4 : end + 4 + length])
            self._answer(_HEAD % len(body) + body, DELAY if path.endswith(b"/turns") else 0.0)
            self._pending = self._pending[end + 4 + length :]

    def _answer(self, document: bytes, delay: float) -> None:
        if delay:
            asyncio.get_running_loop().call_later(delay, self._answer, document, 0.0)
        elif not self._transport.is_closing():  # the host was killed meanwhile; uvloop raises where asyncio would not
            self._transport.write(document)


async def main(port: int) -> None:
    """Serve until killed."""
    await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
