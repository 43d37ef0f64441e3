"""A proxy before a Docker daemon's socket that strikes at a chosen call, on a chosen side of it.

The client never sees the answer of a call that is struck: `before`, the daemon never gets the call; `sent`, it has
begun with it, or done it; `answered`, it has done it.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

Strike = Callable[[], Awaitable[None]]
Stage = Literal["before", "sent", "answered"]
STAGES: tuple[Stage, ...] = ("before", "sent", "answered")
AT_WORK = 0.05
"""Seconds after which the daemon has begun with a call."""
_CALL = re.compile(rb"([A-Z]+) (?:/v[\d.]+)?/([^\s?]*)\S* HTTP/")
_ACTIONS = re.compile(r"[a-z]+")
_COLLECTIONS = {"create", "json", "prune", "search"}
"""What follows a resource's name without being the name of one of its things."""


def kind(request: bytes) -> str | None:
    """Return a call's kind, its method and path with `{id}` for any name; None if the bytes do not begin with a call.

    An image's name may have slashes.
    """
    found = _CALL.match(request)
    if found is None:
        return None
    resource, _, rest = found[2].decode().partition("/")
    if rest and rest not in _COLLECTIONS:
        name, _, last = rest.rpartition("/")
        rest = f"{{id}}/{last}" if name and _ACTIONS.fullmatch(last) else "{id}"
    return f"{found[1].decode()} {resource}{rest and '/'}{rest}"


@dataclass(slots=True)
class _Target:
    """The call to strike at."""

    kind: str
    stage: Stage
    strike: Strike
    left: int
    """Calls of the kind until it is this one's turn, with this one."""
    done: bool = False


class DockerProxy:
    """Forwards to a daemon; at one call of a kind `strike` is called, once."""

    def __init__(self, path: Path, daemon: str) -> None:
        """`path`: of the socket that it listens at, of at most 107 bytes; `daemon`: the address of the daemon's."""
        self.path, self._daemon = path, daemon.removeprefix("unix://")
        self.calls: Counter[str] = Counter()
        """All calls until now, by kind."""
        self._target: _Target | None = None
        self._server: asyncio.Server | None = None
        self.reached = False
        """Whether the call has come, so that `struck` is set or will be."""
        self.struck = asyncio.Event()
        """Set when the strike is done."""

    @property
    def host(self) -> str:
        """Where the backend finds it."""
        return f"unix://{self.path}"

    def arm(self, kind: str, stage: Stage, strike: Strike, *, occurrence: int = 1) -> None:
        """Strike at the `occurrence`-th call of a kind from now on, counted from 1."""
        self.reached = False
        self.struck.clear()
        self._target = _Target(kind, stage, strike, occurrence)

    def disarm(self) -> None:
        """Forward every call from now on; one that has been `reached` is struck all the same."""
        self._target = None

    def count(self, call: str) -> _Target | None:
        """Count a call; return the target if this is the call to strike at."""
        self.calls[call] += 1
        target = self._target
        if target is None or target.kind != call:
            return None
        target.left -= 1
        if target.left:
            return None
        self._target, self.reached = None, True
        return target

    async def strike(self, target: _Target) -> None:
        """Strike, unless that has been done."""
        if not target.done:
            target.done = True
            await target.strike()
            self.struck.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            daemon, calls = await asyncio.open_unix_connection(self._daemon)
            await _Connection(self).serve(client, answers, daemon, calls)


class _Connection:
    """One connection of the client, which makes one call at a time on it."""

    def __init__(self, proxy: DockerProxy) -> None:
        self._proxy = proxy
        self._target: _Target | None = None
        """What to strike at, from its call on: nothing is forwarded to the client any more."""

    async def serve(
        self,
        client: asyncio.StreamReader,
        answers: asyncio.StreamWriter,
        daemon: asyncio.StreamReader,
        calls: asyncio.StreamWriter,
    ) -> None:
        back = asyncio.create_task(self._answer(daemon, answers))
        try:
            await self._ask(client, calls)
        finally:
            calls.close()
            await asyncio.wait([back], timeout=None if self._target else 1)
            back.cancel()
            answers.close()
            if self._target is not None:  # the connection ended before its stage
                await self._proxy.strike(self._target)

    async def _ask(self, client: asyncio.StreamReader, calls: asyncio.StreamWriter) -> None:
        while data := await client.read(65_536):
            if (call := kind(data)) is not None:
                self._target = self._proxy.count(call)
            target = self._target
            if target is not None and target.stage == "before":
                return await self._proxy.strike(target)
            calls.write(data)
            await calls.drain()
            if target is not None and target.stage == "sent":
                await asyncio.sleep(AT_WORK)
                return await self._proxy.strike(target)
        return None

    async def _answer(self, daemon: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while data := await daemon.read(65_536):
                target = self._target
                if target is None:
                    answers.write(data)
                    await answers.drain()
                    continue
                held += data
                if target.stage == "answered" and _whole(held):
                    await self._proxy.strike(target)
                    answers.close()  # as whoever was struck would have; `_ask` ends with it
                    return


def _whole(answer: bytes) -> bool:
    """Whether an answer is complete, as far as matters: what has a length comes when the call is done."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        return answer.endswith(b"\r\n0\r\n\r\n")
    return bool(end)
