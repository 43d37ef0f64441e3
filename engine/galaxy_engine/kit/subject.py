"""The engines that are examined: one that runs somewhere, or several that the kit starts."""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar, cast

import msgspec
from msgspec import Raw

from galaxy_engine import limits
from galaxy_engine.client import with_state
from galaxy_engine.decoding import MalformedError, decode
from galaxy_engine.failures import EngineFailure
from galaxy_engine.kit.findings import Failed
from galaxy_engine.kit.trace import Call, Trace
from galaxy_engine.limits import CallTimes
from galaxy_engine.messages import Position, Verdict
from galaxy_engine.transport import Transport

_M = TypeVar("_M")

OrderSet = tuple[Raw, ...]
Sets = Mapping[int, OrderSet]


class Reply(msgspec.Struct, frozen=True):
    """What came of a call."""

    status: int | None
    """None: no whole answer came."""
    body: bytes = b""
    trouble: str = ""
    """Why no answer came."""
    seconds: float = 0.0

    @property
    def refused(self) -> bool:
        """Whether the engine answered with 4xx."""
        return self.status is not None and 400 <= self.status < 500

    @property
    def broken(self) -> bool:
        """Whether no answer came, or a 5xx."""
        return self.status is None or self.status >= 500

    @property
    def shown(self) -> str:
        """The answer in a line, for people."""
        if self.status is None:
            return f"no answer: {self.trouble}"
        text = "".join(c if c.isprintable() else " " for c in self.body[:300].decode("utf-8", "replace"))
        return f"status {self.status}" + (f", {text}" if text else "") + ("…" if len(self.body) > 300 else "")

    def message(self, kind: type[_M], members: int = limits.POSITION_MEMBERS) -> _M:
        """Return the message in a 200; raise `Failed` if it is not one, or breaks the schema."""
        if self.status != 200:
            raise Failed(
                f"the answer is not a {kind.__name__}", expected=f"200 with a {kind.__name__}", came=self.shown
            )
        try:
            decoder: msgspec.json.Decoder[_M] = _decoder(cast("Any", kind))
            return decode(self.body, decoder, members)
        except MalformedError as exc:
            expected = f"the contract's schema {kind.__name__}"
            raise Failed(
                f"a {kind.__name__} that breaks the schema", expected=expected, came=f"{exc} in {self.shown}"
            ) from None


class Point(msgspec.Struct, frozen=True):
    """A point in a game: the answer that gave it, as bytes and as message."""

    body: bytes
    position: Position

    @property
    def turn(self) -> int:
        """The number of its turn."""
        return self.position.turn


class Engine:
    """Calls to one engine, each noted in the trace."""

    def __init__(
        self, transport: Transport, address: str, trace: Trace, *, variable: str = "ENGINE", token: str = ""
    ) -> None:
        self.address = address
        self.token = token
        self.times = CallTimes()
        self._transport = transport
        self._trace = trace
        self._variable = variable

    async def call(
        self,
        method: str,
        path: str,
        body: Sequence[bytes | memoryview] = (),
        *,
        seconds: float | None = None,
        largest: int = limits.POSITION_BYTES,
        authorized: bool = True,
        transport: Transport | None = None,
    ) -> Reply:
        """Return what comes of a call, whatever it is."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token and authorized else {}
        limit = self.times.order if seconds is None else seconds
        began = time.perf_counter()
        try:
            answer = await (transport or self._transport).exchange(
                method, self.address, path, body, headers=headers, seconds=limit, largest=largest
            )
            reply = Reply(answer.status, bytes(answer.body), seconds=time.perf_counter() - began)
        except EngineFailure as exc:
            reply = Reply(None, trouble=str(exc), seconds=time.perf_counter() - began)
        came = str(reply.status or "no answer")
        self._trace.add(Call(self._variable, method, path, tuple(body), bool(headers), came))
        return reply

    async def healthy(self) -> bool:
        """Whether /healthz answers with 200."""
        return (await self.call("GET", "/healthz", seconds=self.times.health, largest=limits.SMALL_BYTES)).status == 200

    async def describe(self) -> Reply:
        """Ask what the engine is."""
        return await self.call("GET", "/v1/describe", seconds=self.times.describe, largest=limits.DESCRIBE_BYTES)

    async def init(self, request: Any) -> Reply:
        """Begin a game."""
        return await self.call("POST", "/v1/init", (encode(request),), seconds=self.times.turn)

    async def load(self, point: Point, **more: Any) -> None:
        """Load a position; the engine must take back what it gave."""
        body = with_state({"turn": point.turn, **more}, point.position.state)
        reply = await self.call("PUT", "/v1/state", body, seconds=self.times.state, largest=limits.SMALL_BYTES)
        if reply.status not in (200, 204):
            raise Failed("a state that the engine gave is not loaded", expected="200 or 204", came=reply.shown)

    async def order(self, seat: int | str, turn: int, orders: Any, **more: Any) -> Reply:
        """Post what should be a seat's set."""
        return await self.call("POST", f"/v1/seats/{seat}/orders", (encode({"turn": turn, "orders": orders, **more}),))

    async def accept(self, seat: int, turn: int, orders: OrderSet, **more: Any) -> None:
        """Post a set that was accepted before; raise `Failed` if it is not now."""
        reply = await self.order(seat, turn, orders, **more)
        if not reply.message(Verdict).accepted:
            raise Failed(
                "a set that was accepted before is refused",
                expected=f"accepted: true for seat {seat}",
                came=reply.shown,
            )

    async def validate(self, seat: int, turn: int, orders: Any) -> Reply:
        """Ask for a verdict."""
        return await self.call("POST", f"/v1/seats/{seat}/validate", (encode({"turn": turn, "orders": orders}),))

    async def options(self, seat: int) -> Reply:
        """Ask what a seat may order."""
        return await self.call("GET", f"/v1/seats/{seat}/options", largest=limits.OPTIONS_BYTES)

    async def suggest(self, seat: int, turn: int, seed: str) -> Reply:
        """Ask for a machine player's orders."""
        body = (encode({"turn": turn, "seed": seed}),)
        return await self.call("POST", f"/v1/seats/{seat}/suggest", body, largest=limits.SUGGESTION_BYTES)

    async def turn(self, turn: int, seed: str, absent: Sequence[int] = (), **more: Any) -> Reply:
        """Have a turn adjudicated, whatever comes of it."""
        body = (encode({"turn": turn, "seed": seed, "absent": absent, **more}),)
        return await self.call("POST", "/v1/turns", body, seconds=self.times.turn)

    async def play(self, before: Point, sets: Sets, seed: str, absent: Sequence[int] = (), **more: Any) -> Point:
        """Load a position, post the sets in their order, and return the next position."""
        await self.load(before)
        for seat, orders in sets.items():
            await self.accept(seat, before.turn, orders)
        return point_of(await self.turn(before.turn, seed, absent, **more))


def point_of(reply: Reply) -> Point:
    """Return the position in an answer; raise `Failed` if there is none."""
    return Point(reply.body, reply.message(Position))


def encode(value: Any) -> bytes:
    """Return a value as JSON."""
    return msgspec.json.encode(value)


@cache
def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind)


class Subject(Protocol):
    """What is examined."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def kind(self) -> str:
        """url, process, or the name of another driver."""
        ...

    @property
    def launches(self) -> bool:
        """Whether further engines can be started."""
        ...

    async def start(self, variant: int, port: int | None = None) -> Engine:
        """Return an engine: of each variant another time zone, locale, hash seed and host name.

        `port`: the one that it is to listen on; None leaves it to the host of engines.
        Raise an `EngineFailure` if it cannot be started. That it is healthy is for the caller to wait for.
        """
        ...

    async def stop(self, engine: Engine, grace: float) -> None:
        """Ask the engine to stop, kill it after `grace` seconds, and leave nothing of it."""
        ...

    async def state(self, engine: Engine) -> str:
        """Return in words how the engine is, as its host sees it: "running", or how it ended and what it wrote."""
        ...

    async def close(self) -> str:
        """Remove every engine that was started; return why some may be left, "" if none is."""
        ...
