"""What several files of tests use: servers whose answers a test writes byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from galaxy_engine.transport import Transport

Connection = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with one request: its head and body, and where to write."""
Serve = Callable[[Connection], Awaitable[str]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return one request, head and body; b"" at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server on a free port, for as long as the test runs; it answers each request by the function given."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(answer: Connection) -> str:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            tasks.add(task)
            try:
                while not writer.is_closing() and (request := await read_request(reader)):
                    await answer(request, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """A transport that is closed after the test."""
    async with Transport() as made:
        yield made
