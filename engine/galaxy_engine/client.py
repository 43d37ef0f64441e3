"""The host's side of the contract: one method a call, every answer checked against the schema.

Whether a position fits its game is for the caller to ask, by `checking.check_position`.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from galaxy_engine import limits
from galaxy_engine.decoding import MalformedError, decode, parse
from galaxy_engine.failures import EngineError, EngineFailure, EngineInvalid, EngineRefused, Unhealthy
from galaxy_engine.limits import CallTimes
from galaxy_engine.messages import Describe, Init, Options, Orders, Position, Refusal, Suggest, Turn, Verdict
from galaxy_engine.transport import Answer, Pieces, Transport

_M = TypeVar("_M")

_DESCRIBE = msgspec.json.Decoder(Describe)
_OPTIONS = msgspec.json.Decoder(Options)
_ORDERS = msgspec.json.Decoder(Orders)
_POSITION = msgspec.json.Decoder(Position)
_REFUSAL = msgspec.json.Decoder(Refusal)
_VERDICT = msgspec.json.Decoder(Verdict)


class EngineClient:
    """Calls to one engine.

    Every call raises `EngineTimeout`, `EngineError`, `EngineInvalid` or `EngineTooLarge`; a 4xx is `EngineRefused`, an
    `EngineError` with the status and what the engine said.
    """

    def __init__(
        self, transport: Transport, address: str, token: str | None = None, times: CallTimes | None = None
    ) -> None:
        self.address = address
        self._transport = transport
        self._times = times or CallTimes()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def health(self) -> None:
        """Return if the engine can answer; raise `Unhealthy` if not, whatever the reason."""
        try:
            answer = await self._exchange("GET", "/healthz", (), self._times.health, limits.SMALL_BYTES)
        except EngineFailure as exc:
            raise Unhealthy(f"the engine at {self.address} is not healthy: {exc}", exc.detail) from exc
        if answer.status != 200:
            raise Unhealthy(f"the engine at {self.address} is not healthy: status {answer.status}", answer.excerpt)

    async def describe(self) -> Describe:
        """Return what the engine is."""
        return await self._call("GET", "/v1/describe", (), self._times.describe, limits.DESCRIBE_BYTES, _DESCRIBE)

    async def init(self, request: Init) -> Position:
        """Begin a game and return position 0, which is loaded too."""
        return await self._position("/v1/init", (msgspec.json.encode(request),))

    async def load(self, turn: int, state: Raw) -> None:
        """Load a snapshot, in place of everything that the engine holds."""
        body = with_state({"turn": turn}, state)
        answer = await self._exchange("PUT", "/v1/state", body, self._times.state, limits.SMALL_BYTES)
        self._expect(answer, "PUT /v1/state", 200, 204)

    async def order(self, seat: int, orders: Orders) -> Verdict:
        """Post a seat's set, in place of its former one if it is accepted."""
        return await self._judge(f"/v1/seats/{seat}/orders", orders)

    async def validate(self, seat: int, orders: Orders) -> Verdict:
        """Return what the engine would say of a set (capability `validate`)."""
        return await self._judge(f"/v1/seats/{seat}/validate", orders)

    async def options(self, seat: int) -> Options:
        """Return what a seat may order (capability `options`)."""
        return await self._call(
            "GET", f"/v1/seats/{seat}/options", (), self._times.order, limits.OPTIONS_BYTES, _OPTIONS
        )

    async def suggest(self, seat: int, turn: int, seed: str | UnsetType = UNSET) -> Orders:
        """Return the orders of a machine player (capability `suggest`)."""
        body = (msgspec.json.encode(Suggest(turn=turn, seed=seed)),)
        return await self._call(
            "POST", f"/v1/seats/{seat}/suggest", body, self._times.order, limits.SUGGESTION_BYTES, _ORDERS
        )

    async def turn(self, request: Turn) -> Position:
        """Adjudicate a turn and return the next position. `state` and `orders` need the capability `bundle`."""
        bare = msgspec.structs.replace(request, state=UNSET)
        body = (msgspec.json.encode(bare),) if request.state is UNSET else with_state(bare, request.state)
        return await self._position("/v1/turns", body)

    async def _judge(self, path: str, orders: Orders) -> Verdict:
        body = (msgspec.json.encode(orders),)
        return await self._call("POST", path, body, self._times.order, limits.VERDICT_BYTES, _VERDICT)

    async def _position(self, path: str, body: Pieces) -> Position:
        return await self._call(
            "POST", path, body, self._times.turn, limits.POSITION_BYTES, _POSITION, limits.POSITION_MEMBERS
        )

    async def _call(
        self,
        method: str,
        path: str,
        body: Pieces,
        seconds: float,
        largest: int,
        decoder: msgspec.json.Decoder[_M],
        members: int = limits.MEMBERS,
    ) -> _M:
        answer = await self._exchange(method, path, body, seconds, largest)
        self._expect(answer, f"{method} {path}", 200)
        try:
            return await parse(answer.body, decoder, members)
        except MalformedError as exc:
            message = f"the answer to {method} {path} of the engine at {self.address} breaks the contract: {exc}"
            raise EngineInvalid(message, answer.excerpt) from None

    async def _exchange(self, method: str, path: str, body: Pieces, seconds: float, largest: int) -> Answer:
        return await self._transport.exchange(
            method, self.address, path, body, headers=self._headers, seconds=seconds, largest=largest
        )

    def _expect(self, answer: Answer, call: str, *statuses: int) -> None:
        """Raise `EngineRefused` or `EngineError` unless the status is one of those."""
        if answer.status in statuses:
            return
        message = f"{call} of the engine at {self.address} was answered with status {answer.status}"
        if 400 <= answer.status < 500:
            raise EngineRefused(message, answer.excerpt, status=answer.status, refusal=_refusal(answer))
        raise EngineError(message, answer.excerpt)


def with_state(message: Any, state: Raw) -> Sequence[bytes | memoryview]:
    """Return the body of a message with the member `state` added, in pieces: the state is not copied."""
    return (msgspec.json.encode(message)[:-1] + b',"state":', memoryview(state), b"}")


def _refusal(answer: Answer) -> Refusal:
    """Return what the engine said with a 4xx; its form is its own affair."""
    try:
        return decode(answer.body, _REFUSAL)
    except MalformedError:
        return Refusal()
