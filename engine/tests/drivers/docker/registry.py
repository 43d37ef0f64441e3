"""A relay before a registry of images that can hold things up."""

import asyncio
import contextlib

LAYER = 100_000
"""Bytes of a connection after which it must be a layer that is passed."""
TLS = b"\x16"


class Relay:
    """Stands between the daemon and the registry, counts what is asked for, and lets layers through when `open`.

    It holds a layer in the middle: while the daemon waits for the beginning of an answer it cannot be cancelled.
    """

    def __init__(self, registry: int) -> None:
        self._registry = registry
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.manifests = 0
        self.waiting = asyncio.Event()
        """The daemon has got a part of a layer and waits for the rest."""
        self.left = asyncio.Event()
        """It has hung up after that, which it does not before the rest comes."""
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._registry)
        held = asyncio.Event()
        answers = asyncio.ensure_future(self._answers(up_reader, writer, held))
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._requests(reader, up_writer)
            if held.is_set():
                self.left.set()
        finally:
            answers.cancel()
            up_writer.close()
            writer.close()
            await asyncio.gather(answers, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        """Pass requests on one by one; they have no bodies in a pull."""
        while True:
            head = await reader.readexactly(1)
            if head == TLS:  # the daemon tries that first
                return
            head += await reader.readuntil(b"\r\n\r\n")
            self.manifests += head.startswith((b"GET", b"HEAD")) and b"/manifests/" in head.split(b"\r\n")[0]
            up.write(head)
            await up.drain()

    async def _answers(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event) -> None:
        passed = 0
        while data := await up.read(16384):
            passed += len(data)
            if passed > LAYER and not self.open.is_set():
                held.set()
                self.waiting.set()
                await self.open.wait()
            writer.write(data)
            await writer.drain()
