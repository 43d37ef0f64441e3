"""A turn on an engine that is loaded from the snapshot first, as every turn is, with `bundle` and without.

The engine is the reference engine as a process of this machine, reached over HTTP; the game has four seats and is in
its eleventh turn, with a set of orders for each seat. What is timed is the runtime's own computation of a turn: one
call with state and orders where the engine has `bundle`, else the state, each seat's orders and the turn, six calls.
One turn after the other; the database has no part in it.
"""

import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec

from bench.process import alone, free_port, serving
from bench.rounds import Figure, Run, Values, interleave
from galaxy_engine.client import EngineClient
from galaxy_engine.messages import Describe, Init, Position, SeatName
from galaxy_engine.transport import Transport
from galaxy_runtime.turns.adjudication import TurnInput, adjudicate

SEATS = (1, 2, 3, 4)
TURN = 10
_GAME = UUID(int=1)
_SEED = "bench"


async def measure(*, quick: bool) -> list[Figure]:
    """Run the turn 1,000 times in each round, 200 when quick."""
    count, rounds = (200, 2) if quick else (1_000, 5)
    port = free_port()
    environment = os.environ | {"PORT": str(port), "GALAXY_LISTEN_HOST": "127.0.0.1"}
    async with serving(str(Path(sys.executable).with_name("galaxy-game")), environment=environment, port=port):
        sides: dict[str, Run] = {
            "bundle": partial(alone, "bench.restored:turns", port=port, count=count, bundle=True),
            "call by call": partial(alone, "bench.restored:turns", port=port, count=count, bundle=False),
        }
        taken = await interleave(rounds, **sides)
    return [
        taken.figure("-", "restored turn, bundle", "/s", "rate", ours="bundle", against="call by call"),
        *(taken.figure("-", f"restored turn, {side}, p50", "ms", "p50", ours=side) for side in sides),
    ]


async def turns(port: int, count: int, *, bundle: bool) -> Values:
    """Run the same turn over and over, after twenty that are not counted."""
    async with Transport() as transport:
        client = EngineClient(transport, f"127.0.0.1:{port}")
        describe, given = await client.describe(), await _given(client)
        if not bundle:
            without = tuple(each for each in describe.capabilities if each != "bundle")
            describe = msgspec.structs.replace(describe, capabilities=without)
        await _timed(client, describe, given, 20)
        seconds = await _timed(client, describe, given, count)
    return {"rate": count / sum(seconds), "p50": statistics.median(seconds) * 1_000}


async def _timed(client: EngineClient, describe: Describe, given: TurnInput, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await adjudicate(client, describe, given, verify=False)
        seconds.append(time.perf_counter() - began)
    return seconds


async def _given(client: EngineClient) -> TurnInput:
    """Play to the turn that is measured by what the engine suggests; return what it follows from."""
    names = tuple(SeatName(seat, f"Player {seat}") for seat in SEATS)
    position = await client.init(Init(game_id=str(_GAME), seed=_SEED, seats=names, options={}))
    describe = await client.describe()
    for _ in range(TURN):
        position = (await adjudicate(client, describe, await _input(client, position), verify=False)).position
    return await _input(client, position)


async def _input(client: EngineClient, position: Position) -> TurnInput:
    await client.load(position.turn, position.state)
    suggested = {seat: await client.suggest(seat, position.turn, _SEED) for seat in position.awaited(SEATS)}
    return TurnInput(
        game_id=_GAME,
        turn=position.turn,
        state=bytes(memoryview(position.state)),
        seats=SEATS,
        orders={seat: msgspec.json.encode(orders.orders) for seat, orders in suggested.items()},
        machines=(),
        absent=(),
        vacant=(),
        seed=_SEED,
    )
