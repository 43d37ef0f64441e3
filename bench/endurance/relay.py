"""A relay that injects faults: drops before and after the final dot, stalls, 4xx replies, as a seed draws.

SMTP as far as our transport speaks it (RFC 5321), PIPELINING included, one mail at a time on kept connections.
"""

import asyncio
import random
import re
import socket
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_ADDRESS = re.compile(rb"<(.*?)>")
_MESSAGE_ID = re.compile(rb"^message-id: *(\S+)", re.IGNORECASE | re.MULTILINE)

KIND = "kind"
FAULTS = {
    KIND: 72,
    "drop before the dot": 6,
    "drop after the dot": 6,
    "stall before the dot": 3,
    "stall after the dot": 3,
    "4xx to the recipient": 5,
    "4xx to the content": 5,
}
"""Faults of a conversation, by weight."""
_TAKES = {KIND, "drop after the dot", "stall after the dot"}
"""Faults at which the relay keeps the mail, whatever answer the client gets."""


@dataclass(slots=True)
class Arrivals:
    """The mails for one recipient."""

    contents: list[bytes] = field(default_factory=list)
    """Every mail as received, with dot-stuffing removed."""

    @property
    def message_ids(self) -> set[str]:
        """The Message-IDs among them; empty for a mail without one."""
        found = (_MESSAGE_ID.search(content) for content in self.contents)
        return {match[1].decode() if match else "" for match in found}


class Relay:
    """Connections to `port` wait until the relay is `serving`."""

    def __init__(self, seed: int, on_operation: Callable[[], None]) -> None:
        """`on_operation` is called when a mail begins, and when its last byte has arrived and is not answered yet."""
        self.kind = False
        """Whether it no longer injects faults."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.arrived: dict[str, Arrivals] = {}
        self.met: Counter[str] = Counter()
        """The number of conversations by fault."""
        self._seed, self._on_operation = seed, on_operation
        self._tried: Counter[str] = Counter()
        self._open: set[StreamWriter] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve within the context; then cut every connection, and stop listening."""
        server = await asyncio.start_server(self._converse, sock=self._listener)
        try:
            yield
        finally:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()
            await server.wait_closed()

    async def _converse(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        try:
            await _Conversation(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):  # the backend was killed, or the relay hung up
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    def fault_for(self, recipient: str) -> str:
        """Draw the fault of this attempt for a recipient: the same in every run with the seed, whenever it happens."""
        self._tried[recipient] += 1
        source = random.Random(f"{self._seed}/{recipient}/{self._tried[recipient]}")
        fault = KIND if self.kind else source.choices(list(FAULTS), list(FAULTS.values()))[0]
        self.met[fault] += 1
        return fault

    def operation(self) -> None:
        """Report an operation."""
        self._on_operation()

    def keep(self, recipient: str, content: bytes) -> None:
        """Receive a mail."""
        self.arrived.setdefault(recipient, Arrivals()).contents.append(content)


class _Conversation:
    def __init__(self, relay: Relay, reader: StreamReader, writer: StreamWriter) -> None:
        self.relay, self.reader, self.writer = relay, reader, writer
        self.recipient = ""
        self.fault = KIND

    async def run(self) -> None:
        await self.say("220 relay.test ESMTP")
        while (line := await self.reader.readline()).endswith(b"\r\n"):
            verb = line[:4].upper()
            if verb == b"DATA":
                await self.data()
            elif verb == b"RCPT":
                await self.rcpt(line)
            elif verb == b"EHLO":
                await self.say("250-relay.test", "250-SIZE 1000000", "250-PIPELINING", "250 8BITMIME")
            elif verb == b"QUIT":
                await self.say("221 bye")
                break
            else:
                if verb == b"MAIL":
                    self.relay.operation()
                await self.say("250 OK")

    async def rcpt(self, line: bytes) -> None:
        match = _ADDRESS.search(line)
        self.recipient = match[1].decode() if match else ""
        self.fault = self.relay.fault_for(self.recipient)
        if self.fault == "4xx to the recipient":
            self.recipient = ""
            await self.say("450 4.2.0 not now")
        else:
            await self.say("250 OK")

    async def data(self) -> None:
        if not self.recipient:  # it arrived in one write with a RCPT that was refused
            await self.say("503 5.5.1 no recipient")
            return
        await self.say("354 go on")
        if self.fault == "drop before the dot":
            raise ConnectionAbortedError
        received = await self.reader.readuntil(b"\r\n.\r\n")
        self.relay.operation()
        if self.fault in _TAKES:
            content = received[:-3].replace(b"\r\n..", b"\r\n.")
            self.relay.keep(self.recipient, content)
        if self.fault == "drop after the dot":
            raise ConnectionAbortedError
        if self.fault.startswith("stall"):
            await self.reader.read()  # until the client gives up
            raise ConnectionAbortedError
        await self.say("451 4.3.0 not now" if self.fault == "4xx to the content" else "250 2.0.0 taken")

    async def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()
