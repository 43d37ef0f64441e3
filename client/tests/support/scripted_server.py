"""A server whose answers a test writes beforehand, on a real socket; and a client whose waits take no time."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from galaxy_client import Galaxy, RetryPolicy

Writer = asyncio.StreamWriter
Step = Callable[[Writer], Awaitable[None]]
"""What is done with one request: write an answer, or a part of it, or nothing. The connection is closed after it."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, document: Any = None, **headers: str) -> Step:
    """Return a step that answers with JSON."""
    body = b"" if document is None else msgspec.json.encode(document)
    lines = [f"HTTP/1.1 {status} -", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join((*lines, "Connection: close", "", "")).encode() + body)


def problem(status: int, code: str, **headers: str) -> Step:
    """Return a step that answers with a problem document."""
    return answer(status, {"status": status, "code": code, "detail": "No.", "request_id": "r-1"}, **headers)


def raw(content: bytes) -> Step:
    """Return a step that writes these bytes."""

    async def step(writer: Writer) -> None:
        writer.write(content)
        await writer.drain()

    return step


def stream(*pieces: bytes, hold: asyncio.Event | None = None) -> Step:
    """Return a step that opens an event stream, writes pieces one by one, and ends it once `hold` is set."""

    async def step(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hold is not None:
            await hold.wait()

    return step


LOST: Step = raw(b"")
"""The connection ends without an answer."""


@dataclass
class Server:
    """Answers each request with the next step of its script; the last one is repeated."""

    script: Sequence[Step]
    received: list[Received] = field(default_factory=list)
    address: str = ""

    async def __aenter__(self) -> "Server":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = re.split(" ", first)
            self.received.append(Received(method, path, headers, body))
            await self.script[min(len(self.received), len(self.script)) - 1](writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the end of the test; streams' callbacks report a cancellation as an error
        finally:
            writer.close()
            self._tasks.discard(task)


@dataclass
class Waits:
    """Notes how long was waited for, and goes on at once."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def client(server: Server, *, token: str | None = "t-secret", waits: Waits | None = None, **policy: float) -> Galaxy:
    """Return a client of a scripted server."""
    chosen = RetryPolicy(**policy)  # type: ignore[arg-type] # the tests give what it takes
    return Galaxy(server.address, token, policy=chosen, sleep=waits or Waits(), random=Random(1))


def account(**changes: Any) -> dict[str, Any]:
    """Return an account as the server shows it."""
    return {
        "id": "01a22152-f389-7068-8de8-b7a247f99ef3",
        "email": "ada@example.test",
        "display_name": "Ada",
        "language": "en",
        "time_zone": "UTC",
        "declared_country": None,
        "created_at": "2026-01-02T03:04:05Z",
        **changes,
    }


GAME_ID = "01a22152-f389-7068-8de8-b7a247f99ef3"


def game(**changes: Any) -> dict[str, Any]:
    """Return a game as the server shows it."""
    return {
        "id": GAME_ID,
        "name": "Andromeda",
        "visibility": "public",
        "state": "running",
        "turn": 3,
        "min_players": 2,
        "max_players": 2,
        "schedule": {"interval": "1d", "cron": None},
        "created_at": "2026-01-02T03:04:05Z",
        "engine_version_id": GAME_ID,
        **changes,
    }
