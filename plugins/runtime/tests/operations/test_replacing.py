"""An engine is replaced by one beside it, or everything is as before, also where the process dies on the way."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from operation_play import started, whole_record

from galaxy_contracts.runtime import Operation, Submission
from galaxy_engine.failures import HostUnreachable, ImageNotFound
from galaxy_kernel.api import Problem, new_id


async def test_a_restart_loads_the_position_beside_the_old_engine(world: Any) -> None:
    """The new engine has the position before the old one goes."""
    game = await started(world)
    assert (await world.finished(await world.operate(game, Operation.RESTART))).outcome == "succeeded"
    engine = world.host.engine_of(game)
    assert (engine.state["turn"], len(world.host.engines)) == (0, 1)
    assert (await whole_record(world, game)).generation == 2


async def test_a_patch_moves_to_a_higher_patch(world: Any) -> None:
    """The version changes with the switch; the log says whether the new engine agrees with the last turn."""
    game = await started(world)
    to = world.fakes.versions.add("1.0.1", engine="double", image="double:2")
    row = await world.finished(await world.operate(game, Operation.PATCH, to_version=to.id))
    assert (row.outcome, row.input["to"], row.result) == ("succeeded", str(to.id), {"same_result": None})
    record = await whole_record(world, game)
    assert (record.engine_version_id, record.image) == (to.id, "double:2")


@pytest.mark.parametrize("same", [True, False])
async def test_a_patch_runs_the_last_turn_again(world: Any, same: bool) -> None:
    """From its own position, orders and seed; another result is noted, and prevents nothing."""
    game = await started(world)
    orders = (msgspec.Raw(b'{"go":1}'),)
    await world.runtime.put_orders(game, 1, Submission(turn=0, orders=orders, account_id=new_id()))
    await world.finished(await world.operate(game, Operation.FORCE_NEXT_TURN))
    made = await world.rows("SELECT state FROM runtime_turns WHERE turn = 1")

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()

        async def another(call: str, body: Any) -> web.StreamResponse | None:
            return engine._turns({**body, "orders": {}}, 0) if call == "turns" else None

        engine.hook = None if same else another
        return engine

    world.host.make = make
    to = world.fakes.versions.add("1.0.1", engine="double", image="double:2")
    row = await world.finished(await world.operate(game, Operation.PATCH, to_version=to.id))
    assert (row.outcome, row.result) == ("succeeded", {"same_result": same})
    assert await world.rows("SELECT state FROM runtime_turns WHERE turn = 1") == made
    assert world.host.engine_of(game).state["turn"] == 1


@pytest.mark.parametrize(
    ("version", "state"), [("1.0.0", "active"), ("1.1.0", "active"), ("2.0.0", "active"), ("1.0.1", "retired")]
)
async def test_another_version_is_no_patch(world: Any, version: str, state: str) -> None:
    """Only a higher patch of the same engine, major and minor will do, that is not retired."""
    game = await started(world)
    to = world.fakes.versions.add(version, engine="double", state=state)
    with pytest.raises(Problem) as refused:
        await world.operate(game, Operation.PATCH, to_version=to.id)
    assert refused.value.code == "patch_refused"


async def test_a_patch_that_does_not_start_is_rolled_back(world: Any) -> None:
    """An engine that never becomes healthy changes nothing: the game has its old one."""
    game = await started(world)
    to = world.fakes.versions.add("1.0.1", engine="double", image="double:2")

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.described["engine"] = "another"
        return engine

    world.fakes.versions.change(to.id, describe={**DoubleEngine().described})
    world.host.make = make
    row = await world.finished(await world.operate(game, Operation.PATCH, to_version=to.id))
    assert (row.outcome, row.error_code) == ("rolled_back", "config_invalid")
    record = await whole_record(world, game)
    assert (record.image, record.generation, record.status) == ("double:1", 1, "healthy")
    assert [spec.id.generation for spec, _, _ in world.host.engines.values()] == [1]


@pytest.mark.parametrize("ended", ["killed", "no memory", "no image"])
async def test_a_failed_replacement_says_how(world: Any, ended: str) -> None:
    """Its type is how the new engine ended, what that wrote is kept, operators are told; a stopped game stays so."""
    game = await started(world)
    assert (await world.finished(await world.operate(game, Operation.STOP))).outcome == "succeeded"
    to = world.fakes.versions.add("1.0.1", engine="double", image="double:2")

    async def end(call: str) -> None:
        if call == "prepare" and ended == "no image":
            raise ImageNotFound("there is no image double:2")
        if call == "observe":
            await world.host.kill(game, exit_code=3, oom=ended == "no memory")

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.hook = _unwell
        return engine

    world.host.hook, world.host.make = end, make
    row = await world.finished(await world.operate(game, Operation.PATCH, to_version=to.id))
    code = {"killed": "start_failed", "no memory": "oom_killed", "no image": "image_not_found"}[ended]
    assert (row.outcome, row.error_code) == ("rolled_back", code)
    assert ended == "no image" or "the log of" in row.log_tail
    kind = "runtime.image_pull_failed" if ended == "no image" else "runtime.container_start_failed"
    assert [(each.kind, each.payload["image"]) for each in world.fakes.notifications.intents] == [(kind, "double:2")]
    world.host.hook = None
    await world.plugin._engines.settle(game)
    record = await whole_record(world, game)
    assert (record.wanted, record.status, record.image, world.host.engines) == ("down", "none", "double:1", {})
    assert [spec.image for spec in world.host.launches[1:]] == ([] if ended == "no image" else ["double:2"])


async def _unwell(call: str, body: Any) -> web.StreamResponse:
    return web.Response(status=500)


async def test_a_patch_starts_a_stopped_game(world: Any) -> None:
    """On the new version alone: its old one may be why it was stopped."""
    game = await started(world)
    assert (await world.finished(await world.operate(game, Operation.STOP))).outcome == "succeeded"
    to = world.fakes.versions.add("1.0.1", engine="double", image="double:2")
    assert (await world.finished(await world.operate(game, Operation.PATCH, to_version=to.id))).outcome == "succeeded"
    record = await whole_record(world, game)
    assert (record.wanted, record.status, record.image) == ("up", "healthy", "double:2")
    assert [(spec.image, spec.id.generation) for spec, _, _ in world.host.engines.values()] == [("double:2", 2)]
    assert [spec.image for spec in world.host.launches] == ["double:1", "double:2"]


def _dies_at(world: Any, call: str, over: asyncio.Event) -> asyncio.Event:
    """Have a process get no answer from a call to the host or an engine, nor from any after it, until `over`."""
    died = asyncio.Event()

    async def ask(name: str) -> None:
        if name == call or died.is_set():
            if not died.is_set():
                runner = world.plugin._runner  # works at nothing else any more
                runner._running |= {new_id(): task for task in runner._running.values() for _ in range(64)}
            died.set()
            await over.wait()
            raise HostUnreachable("the process has died")

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()

        async def answer(name: str, body: Any) -> web.StreamResponse | None:
            if died.is_set() or name != call:
                return None
            with suppress(HostUnreachable):
                await ask(name)
            return web.Response(status=500)

        engine.hook = answer
        return engine

    world.host.hook, world.host.make = ask, make
    return died


async def _taken_up(world: Any, operation: UUID) -> Any:
    """Have a dead process's leases end, until another one has its operation; return the ended row."""
    look = "SELECT taken_up > 0 OR outcome IS NOT NULL FROM runtime_operation_log WHERE id = :id"
    async with asyncio.timeout(10):
        while await world.rows(look, id=operation) == [(False,)]:
            await world.execute("UPDATE runtime_operation_log SET lease_until = now() WHERE id = :id", id=operation)
            world.plugin._context.wakeups.wake("runtime.operate")
            await asyncio.sleep(0.02)
    await world.execute("UPDATE runtime_records SET engine_lease_until = now()")
    return await world.finished(operation)


async def test_a_patch_whose_process_dies_is_carried_to_its_end(make_world: Any) -> None:
    """Whichever call was its last: the next process has the game on the new version, and one engine is left."""
    world, over = await make_world(), asyncio.Event()
    game = await started(world)
    for patch, call in enumerate(("prepare", "launch", "state", "remove"), start=1):
        to = world.fakes.versions.add(f"1.0.{patch}", engine="double", image=f"double:{patch + 1}")
        died = _dies_at(world, call, over)
        operation = await world.operate(game, Operation.PATCH, to_version=to.id)
        await asyncio.wait_for(died.wait(), 10)
        world = await make_world(beside=world)
        await world.plugin._host.driver()
        assert (await _taken_up(world, operation)).outcome == "succeeded"
        await world.plugin._engines.settle(game)
        record = await whole_record(world, game)
        assert (record.engine_version_id, record.image, record.status) == (to.id, to.image, "healthy")
        assert [(spec.image, spec.id.generation) for spec, _, _ in world.host.engines.values()] == [
            (to.image, record.generation)
        ]
    over.set()
