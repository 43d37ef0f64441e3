"""The computation of a turn on an engine: load, order, adjudicate, check. Nothing here touches the database.

An engine's memory is worth nothing: it is loaded from the snapshot every time, so that whatever it was asked between
two turns, and whichever engine is asked, the answer is the same.
"""

import hashlib
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw

from galaxy_engine.checking import check_position
from galaxy_engine.client import EngineClient
from galaxy_engine.failures import EngineDisagrees, EngineNondeterministic
from galaxy_engine.messages import Describe, Orders, Position, Turn

_NO_ORDERS = b"[]"


class TurnInput(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a turn follows from."""

    game_id: UUID
    turn: int
    state: bytes
    seats: tuple[int, ...]
    orders: Mapping[int, bytes]
    """Seats with a stored set: a JSON array each."""
    machines: tuple[int, ...]
    """Awaited seats that the engine plays: their sets are asked for now."""
    absent: tuple[int, ...]
    vacant: tuple[int, ...]
    """Those of `absent` that nobody plays."""
    seed: str


class Adjudicated(msgspec.Struct, frozen=True, kw_only=True):
    """The next position, and what it was made from."""

    position: Position
    orders: Mapping[int, bytes]
    """The sets that were used, those of the machines included."""

    @property
    def state_digest(self) -> bytes:
        """SHA-256 of the state's bytes."""
        return hashlib.sha256(memoryview(self.position.state)).digest()

    @property
    def orders_digest(self) -> bytes:
        """SHA-256 over the sets, each with its seat, in the order of seats."""
        digest = hashlib.sha256()
        for seat in sorted(self.orders):
            digest.update(f"{seat}:{len(self.orders[seat])}:".encode() + self.orders[seat])
        return digest.digest()


async def adjudicate(client: EngineClient, describe: Describe, given: TurnInput, *, verify: bool) -> Adjudicated:
    """Run the turn and return what came of it, checked against the game; twice where `verify` says so.

    Raise the engine's failure: `EngineDisagrees` for a set that it had accepted, `EngineNondeterministic` for two
    different answers, and those of the client.
    """
    orders = await _with_machines(client, given)
    position = await _run(client, describe, given, orders)
    check_position(position, turn=given.turn + 1, seats=given.seats)
    if verify:
        again = await _run(client, describe, given, orders)
        if _bytes_of(again) != _bytes_of(position):
            raise EngineNondeterministic(
                f"the engine gave two different answers for turn {given.turn} of game {given.game_id}",
                f"{_difference(position, again)} differs",
            )
    return Adjudicated(position=position, orders=orders)


async def _with_machines(client: EngineClient, given: TurnInput) -> dict[int, bytes]:
    """Return the stored sets and those that the engine suggests for its own seats, as they are kept."""
    orders = dict(given.orders)
    asked = [seat for seat in given.machines if seat not in orders]
    if asked:
        await client.load(given.turn, Raw(given.state))
    for seat in asked:
        suggestion = await client.suggest(seat, given.turn, given.seed)
        orders[seat] = msgspec.json.encode(suggestion.orders)
    return orders


async def _run(client: EngineClient, describe: Describe, given: TurnInput, orders: Mapping[int, bytes]) -> Position:
    request = Turn(turn=given.turn, seed=given.seed, absent=given.absent, vacant=given.vacant)
    if describe.can("bundle"):
        sets = {seat: _parts(orders[seat]) for seat in sorted(orders)}
        return await client.turn(msgspec.structs.replace(request, state=Raw(given.state), orders=sets))
    await client.load(given.turn, Raw(given.state))
    for seat in sorted(orders):
        verdict = await client.order(seat, Orders(turn=given.turn, orders=_parts(orders[seat])))
        if not verdict.accepted:
            codes = ", ".join(error.code for error in verdict.errors) or "no reason"
            raise EngineDisagrees(
                f"the engine refused orders of seat {seat} for turn {given.turn} that it had accepted", codes
            )
    return await client.turn(request)


def _parts(orders: bytes) -> tuple[Raw, ...]:
    return msgspec.json.decode(orders or _NO_ORDERS, type=tuple[Raw, ...])


def _bytes_of(position: Position) -> Sequence[object]:
    public = position.spectators_report
    return (
        bytes(memoryview(position.state)),
        {seat: bytes(memoryview(report)) for seat, report in position.reports.items()},
        None if public is None else bytes(memoryview(public)),
        None if position.awaiting is UNSET else tuple(position.awaiting),
        position.phase,
        tuple(position.eliminated),
        position.finished,
        position.result,
    )


def _difference(first: Position, second: Position) -> str:
    names = ("state", "reports", "public_report", "awaiting", "phase", "eliminated", "finished", "result")
    pairs = zip(names, _bytes_of(first), _bytes_of(second), strict=True)
    return ", ".join(name for name, one, other in pairs if one != other)
