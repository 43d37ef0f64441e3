"""Turns on engines of a host: removals wait for turns, memory is as new as the claim, an engine's end is named."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from turn_play import LONG, made, pass_time, record, shows, state

from galaxy_contracts.runtime import Operation, Submission
from galaxy_engine.drivers.driver import EngineId
from galaxy_engine.failures import EngineError, EngineInvalid, OutOfMemory
from galaxy_kernel.api import new_id

SOON = timedelta(seconds=10)


@pytest.fixture
async def world(make_world: Any) -> Any:
    """Return the plugin with engines on a host."""
    world = await make_world()
    await world.plugin._host.driver()
    return world


class Slow:
    """An engine whose turns wait, and that says it is unhealthy meanwhile."""

    def __init__(self, world: Any) -> None:
        self.begun, self.gate, self.well = asyncio.Event(), asyncio.Event(), asyncio.Event()
        world.host.make = self._make

    def _make(self, spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.hook = self._hook
        return engine

    async def _hook(self, call: str, body: Any) -> web.StreamResponse | None:
        if call == "turns":
            self.begun.set()
            await self.gate.wait()
            self.well.set()
        busy = self.begun.is_set() and not self.well.is_set()
        return web.Response(status=500) if call == "healthz" and busy else None


def _generations(world: Any, game: UUID) -> list[int]:
    return [seen.id.generation for _, _, seen in world.host.engines.values() if seen.id.game_id == game]


async def test_an_engine_that_a_turn_keeps_busy_is_not_replaced(world: Any) -> None:
    """However long it does not answer for, it is left to the turn that runs on it, which costs one claim."""
    slow, game = Slow(world), await world.playing()
    pass_time(world, LONG)
    await asyncio.wait_for(slow.begun.wait(), 10)
    await world.plugin._passes.tend()
    await world.execute(
        "UPDATE runtime_records SET unhealthy_since = now() - interval '31 s',"
        " turn_claimed_at = turn_claimed_at - interval '1 min'"
    )
    await world.plugin._passes.reconcile()
    assert _generations(world, game) == [1]
    slow.gate.set()
    await made(world, game, 1)
    assert await record(world, game, "turn_lease", "generation") == (1, 1)


async def test_an_engine_that_was_silent_before_the_claim_is_replaced(world: Any) -> None:
    """A turn that waits for an engine does not hold off the replacement that it waits for."""
    game, silent = await world.playing(), asyncio.Event()
    await world.plugin._engines.open(game, SOON)

    async def hang(call: str, body: Any) -> web.StreamResponse:
        silent.set()
        return web.Response(status=500)

    world.host.engine_of(game).hook = hang
    await world.plugin._passes.tend()
    await asyncio.wait_for(silent.wait(), 10)
    await world.execute("UPDATE runtime_records SET unhealthy_since = now() - interval '31 s'")
    pass_time(world, LONG)
    await made(world, game, 1)
    assert await world.rows("SELECT generation FROM runtime_turns WHERE turn = 1") == [(2,)]
    assert await record(world, game, "turn_failure") is None


async def test_a_stop_waits_for_the_turn(world: Any) -> None:
    """The engine of a running turn goes when the turn is committed, and not before."""
    slow, game = Slow(world), await world.playing()
    pass_time(world, LONG)
    await asyncio.wait_for(slow.begun.wait(), 10)
    refused, settle_all = asyncio.Event(), world.plugin._actions.settle

    async def noted(game_id: UUID) -> None:
        try:
            await settle_all(game_id)
        finally:
            refused.set()

    world.plugin._actions.settle = noted
    stop = await world.operate(game, Operation.STOP)
    await asyncio.wait_for(refused.wait(), 10)
    assert _generations(world, game) == [1]
    slow.gate.set()
    await made(world, game, 1)
    assert (await world.finished(stop)).outcome == "succeeded"
    assert (_generations(world, game), await record(world, game, "turn_lease")) == ([], 1)


async def test_a_replacement_waits_for_the_turn(world: Any) -> None:
    """A turn that runs ends on the engine it began on, at its first attempt; the next one runs on the new engine."""
    slow, game = Slow(world), await world.playing()
    pass_time(world, LONG)
    await asyncio.wait_for(slow.begun.wait(), 10)
    world.host.make = lambda spec: DoubleEngine()
    restart = await world.operate(game, Operation.RESTART)
    await world.until(lambda: "state" in world.host.engine_of(game).calls)
    assert _generations(world, game) == [1, 2]
    assert await record(world, game, "generation") == 1
    slow.gate.set()
    await made(world, game, 1)
    assert (await world.finished(restart)).outcome == "succeeded"
    pass_time(world, LONG)
    await made(world, game, 2)
    assert await world.rows("SELECT turn, generation FROM runtime_turns WHERE turn > 0 ORDER BY turn") == [
        (1, 1),
        (2, 2),
    ]
    assert await record(world, game, "turn_lease") == 2
    await world.plugin._engines.settle(game)
    assert _generations(world, game) == [2]


async def test_an_engine_killed_between_orders_and_turn_loses_none(world: Any) -> None:
    """The turn has every accepted set, the last one too, on an engine of the next generation."""
    game = await world.playing()
    for number in (1, 2):
        orders = (msgspec.Raw(msgspec.json.encode({"go": number})),)
        for seat in (1, 2):
            await world.runtime.put_orders(game, seat, Submission(turn=0, orders=orders, account_id=new_id()))
    await world.host.kill(game)
    pass_time(world, LONG)
    await made(world, game, 1)
    assert (await state(world, game))["log"][-1]["orders"] == {"1": [{"go": 2}], "2": [{"go": 2}]}
    assert await world.rows("SELECT generation FROM runtime_turns WHERE turn = 1") == [(2,)]


async def test_a_turn_that_is_claimed_again_knows_its_engine(world: Any) -> None:
    """What another replica has replaced meanwhile is known by the claim, before the change feed tells of it."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    ((spec, engine, seen),) = world.host.engines.values()
    following = EngineId(seen.id.owner, game, 2)
    token = world.plugin._host.token(game, 2)
    async with world.plugin._engines._leases.hold(game):  # no reconciler looks meanwhile
        new = await world.host.launch(msgspec.structs.replace(spec, id=following, environment={"GALAXY_TOKEN": token}))
        await engine.stop()
        del world.host.engines[seen.id.name]
        await world.execute(
            "UPDATE runtime_records SET generation = 2, generation_issued = 2, handle = :handle, address = :address,"
            " due_at = next_turn_at, absent = '{}', orders_closed_at = now()",
            handle=new.handle,
            address=new.address,
        )
    pass_time(world, LONG)
    await made(world, game, 1)
    assert await world.rows("SELECT generation FROM runtime_turns WHERE turn = 1") == [(2,)]
    assert await record(world, game, "turn_lease") == 1


async def test_memory_that_runs_out_twice_in_a_turn_quarantines(world: Any) -> None:
    """The second time in a row is the last, and both are named, though all that a call shows is a broken connection."""
    game, dying = await world.playing(), set[asyncio.Task[None]]()

    async def die(call: str, body: Any) -> None:
        if call == "turns":
            dying.add(asyncio.create_task(world.host.kill(game, oom=True)))
            await asyncio.Event().wait()

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.hook = die
        return engine

    world.host.make = make
    pass_time(world, LONG)
    await shows(world, game, turn_attempts=1, turn_failure="oom_killed", turn_claimed_at=None)
    assert not world.table.halts
    pass_time(world, timedelta(seconds=1))
    await world.until(lambda: bool(world.table.halts))
    assert [(halted, failure.code) for halted, failure in world.table.halts] == [(game, "oom_killed")]
    await shows(world, game, turn_attempts=2, playing=False)
    await asyncio.gather(*dying)


@pytest.mark.parametrize("replaced", [False, True])
async def test_the_cause_of_a_broken_call_is_how_the_engine_ended(world: Any, replaced: bool) -> None:
    """By what is left of it, and by its game's record once it was replaced; what answers has another cause."""
    game, broken = await world.playing(), EngineError("no answer")
    await world.plugin._engines.open(game, SOON)
    if not replaced:
        world.plugin._actions.settle = asyncio.Event().wait  # nobody else acts
    await world.host.kill(game, oom=True)
    if replaced:
        await world.plugin._engines.settle(game)
        assert _generations(world, game) == [2]
        assert await world.plugin._engines.cause(game, 2, broken) is broken
    assert isinstance(await world.plugin._engines.cause(game, 1, broken), OutOfMemory)
    invalid = EngineInvalid("not a position")
    assert await world.plugin._engines.cause(game, 1, invalid) is invalid


async def test_memory_that_runs_out_at_the_start_fails_it_by_name(world: Any) -> None:
    """A first position that breaks the memory limit ends the operation as what it is."""
    launch = world.a_launch()
    dying = set[asyncio.Task[None]]()

    async def die(call: str, body: Any) -> None:
        if call == "init":
            dying.add(asyncio.create_task(world.host.kill(launch.game_id, oom=True)))
            await asyncio.Event().wait()

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.hook = die
        return engine

    world.host.make = make
    row = await world.finished(await world.launch(launch))
    assert (row.outcome, row.error_code) == ("failed", "oom_killed")
    await asyncio.gather(*dying)
