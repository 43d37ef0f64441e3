"""A proxy before a Docker daemon's socket that strikes at a chosen call: before it, once sent, or after its answer."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Self

Strike = Callable[[], Awaitable[None]]
Stage = Literal["before", "sent", "answered"]
STAGES: tuple[Stage, ...] = ("before", "sent", "answered")
_CALL = re.compile(rb"(GET|POST|DELETE) (?:/v[\d.]+)?/(containers\S*) HTTP")
"""A call about containers; streams of events and calls about images and networks pass."""
_NAME = re.compile(r"/[0-9a-f]{12,}|\?.*")
"""What tells two calls of one kind apart."""


class DockerProxy:
    """Forwards to a daemon; at its n-th call about containers `strike` is called, once."""

    def __init__(self, path: Path, daemon: str) -> None:
        """`path`: of the socket that it listens at, of at most 107 bytes; `daemon`: the address of the daemon's."""
        self.path, self._daemon = path, daemon.removeprefix("unix://")
        self.calls: list[str] = []
        """The calls about containers since `arm`, each as its method and what it is about."""
        self._at: tuple[int, Stage] | None = None
        self._strike: Strike | None = None
        self._answered: Strike | None = None
        """What to do after the next answer."""
        self._server: asyncio.Server | None = None
        self.struck = asyncio.Event()
        """Set when the strike is done."""

    @property
    def host(self) -> str:
        """Where the backend finds it."""
        return f"unix://{self.path}"

    def arm(self, call: int, stage: Stage, strike: Strike) -> None:
        """Strike at the `call`-th call from now on, counted from 1."""
        self.calls.clear()
        self.struck.clear()
        self._answered = None
        self._at, self._strike = (call, stage), strike

    def disarm(self) -> None:
        """Forward everything from now on."""
        self._strike = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            daemon, calls = await asyncio.open_unix_connection(self._daemon)
            back = asyncio.create_task(self._answer(daemon, answers))
            try:
                while data := await client.read(65_536):
                    await self._pass_on(data, calls)
            finally:
                calls.close()
                await asyncio.wait([back], timeout=1)
                back.cancel()
                answers.close()

    async def _pass_on(self, data: bytes, calls: asyncio.StreamWriter) -> None:
        due, strike = None, self._strike
        if found := _CALL.match(data):
            self.calls.append(f"{found[1].decode()} {_NAME.sub('', found[2].decode())}")
            due = self._at[1] if self._at and self._strike and len(self.calls) == self._at[0] else None
        if due == "before":
            await self._strike_now(strike)
        calls.write(data)
        await calls.drain()
        if due == "sent":
            await asyncio.sleep(0.05)  # the daemon begins with it
            await self._strike_now(strike)
        if due == "answered":
            self._answered = strike

    async def _answer(self, daemon: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await daemon.read(65_536):
                answers.write(data)
                await answers.drain()
                if (strike := self._answered) is not None:
                    self._answered = None
                    await self._strike_now(strike)

    async def _strike_now(self, strike: Strike | None) -> None:
        if strike is not None and strike is self._strike:  # else it was disarmed meanwhile, or armed again
            self._strike = None
            await strike()
            self.struck.set()
