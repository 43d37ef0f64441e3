"""Operations come to exactly one end, whoever works at them and whatever happens meanwhile."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from engine_play import held_launches
from operation_play import started, whole_record
from sqlalchemy import text

from galaxy_contracts.runtime import Actor, ActorKind, Operation, SeatPlayer
from galaxy_engine.failures import HostUnreachable, ImageNotFound, PullFailed
from galaxy_kernel.api import Problem
from galaxy_runtime.engines import domain
from galaxy_runtime.operations import running


async def test_a_game_is_started(world: Any) -> None:
    """A launch comes to position 0, a running clock and what its owner is told, with the operation's end."""
    game = await started(world, seats=3)
    record = await whole_record(world, game)
    assert (record.playing, record.turn, record.awaiting, record.status) == (True, 0, [1, 2, 3], "healthy")
    assert record.next_turn_at == record.tick_at
    made = world.table.made[0]
    assert (made.turn, made.trigger, made.awaiting, made.next_turn_at) == (0, "start", (1, 2, 3), record.tick_at)
    reports = await world.rows("SELECT seat, report FROM runtime_reports WHERE game_id = :id ORDER BY seat", id=game)
    assert (reports[0][0], bytes(reports[0][1])) == (1, b'{"text": "turn 0 for seat 1"}')
    assert world.runtime.status(game).turn == 0
    assert await world.rows("SELECT turn, trigger FROM runtime_turns WHERE game_id = :id", id=game) == [(0, "start")]


async def test_a_launch_that_rolls_back_leaves_nothing(world: Any) -> None:
    """Record and operation belong to the caller's transaction."""
    launch = world.a_launch()
    with pytest.raises(ValueError, match="the caller's"):
        async with world.database.transaction() as connection:
            await world.runtime.launch(connection, launch)
            raise ValueError("the caller's")
    assert await world.rows("SELECT count(*) FROM runtime_records") == [(0,)]
    assert await world.rows("SELECT count(*) FROM runtime_operation_log") == [(0,)]
    assert world.runtime.status(launch.game_id) is None


async def test_a_start_that_fails_can_be_tried_again(world: Any) -> None:
    """A missing image ends the operation by name, removes the engine and tells; the next try has the same seed."""
    await world.plugin._host.driver()
    missing = True

    async def hook(call: str) -> None:
        if call == "prepare" and missing:
            raise ImageNotFound("there is no image double:1")

    world.host.hook = hook
    launch = world.a_launch()
    row = await world.finished(await world.launch(launch))
    assert (row.outcome, row.error_code) == ("failed", "image_not_found")
    assert [(game, failure.code) for game, failure in world.table.failed] == [(launch.game_id, "image_not_found")]
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.image_pull_failed"]
    before = await whole_record(world, launch.game_id)
    assert (before.wanted, before.playing) == ("down", False)
    missing = False
    assert (await world.finished(await world.launch(launch))).outcome == "succeeded"
    after = await whole_record(world, launch.game_id)
    assert bytes(after.seed) == bytes(before.seed)
    assert after.generation > before.generation


@pytest.mark.parametrize("failures", [2, 3])
async def test_a_start_is_tried_three_times(world: Any, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    """What may pass is tried again after each back-off, however often it is looked at meanwhile."""
    monkeypatch.setattr(domain, "BACKOFF", (timedelta(0), timedelta(milliseconds=200)))
    monkeypatch.setattr(running, "_AGAIN", 0.02)
    await world.plugin._host.driver()
    pulls = 0

    async def hook(call: str) -> None:
        nonlocal pulls
        pulls += call == "prepare"
        if call == "prepare" and pulls <= failures:
            raise PullFailed("the registry is away")

    world.host.hook = hook
    row = await world.finished(await world.launch(world.a_launch()))
    failed = failures == 3
    assert (row.outcome, row.error_code) == (("failed", "pull_failed") if failed else ("succeeded", None))
    assert pulls == 3


@pytest.mark.parametrize("seats", [9])
async def test_a_game_that_the_engine_cannot_play_is_refused(world: Any, seats: int) -> None:
    """Too many seats, or options that its schema does not allow, end the start as a faulty configuration."""
    row = await world.finished(await world.launch(world.a_launch(seats=seats)))
    assert (row.outcome, row.error_code) == ("failed", "config_invalid")
    assert "9 seats" in row.error
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.start_config_invalid"]


async def test_an_unreachable_host_delays_a_start(world: Any) -> None:
    """While the host is away a start waits; it burns nothing."""
    await world.plugin._host.driver()
    asked = 0

    async def count(call: str) -> None:
        nonlocal asked
        asked += 1

    world.host.hook, world.host.failure = count, HostUnreachable("the host is away")
    operation = await world.launch(world.a_launch())
    await world.until(lambda: asked >= 3)
    assert (await world.rows("SELECT outcome FROM runtime_operation_log WHERE id = :id", id=operation)) == [(None,)]
    world.host.failure = None
    assert (await world.finished(operation)).outcome == "succeeded"


@pytest.mark.parametrize("broken", ["500", "garbage", "no_reports"])
async def test_an_engine_that_cannot_begin_fails_the_start(world: Any, broken: str) -> None:
    """Whatever `init` answers that is not a position ends the operation by the failure's type."""
    await world.plugin._host.driver()

    async def hook(call: str, body: Any) -> web.StreamResponse | None:
        if call != "init":
            return None
        if broken == "500":
            return web.Response(status=500, text="sorry")
        if broken == "garbage":
            return web.Response(text="{", content_type="application/json")
        return web.json_response({"turn": 0, "state": {}, "reports": {}})

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.hook = hook
        return engine

    world.host.make = make
    row = await world.finished(await world.launch(world.a_launch()))
    assert (row.outcome, row.error_code) == ("failed", "engine_error" if broken == "500" else "engine_invalid")
    assert "the log of" in row.log_tail
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.container_start_failed"]


async def test_one_operation_at_a_time(world: Any) -> None:
    """A second operation is refused, and names the first."""
    game = await started(world)
    await world.plugin._runner.close()
    first = await _insert(world, game)
    with pytest.raises(Problem, match=str(first)) as refused:
        await world.operate(game, Operation.RESTART)
    assert (refused.value.status, refused.value.code) == (409, "operation_in_progress")
    with pytest.raises(Problem, match=str(first)):  # it is open for less than a minute
        await world.operate(game, Operation.STOP, force=True)
    assert (await whole_record(world, game)).wanted == "up"


async def _insert(world: Any, game: UUID, age: str = "0 seconds") -> UUID:
    """Insert an open operation that another process works at."""
    statement = """
        INSERT INTO runtime_operation_log
            (id, game_id, operation, actor_kind, request_id, lease, lease_until, started_at)
        VALUES (gen_random_uuid(), :game, 'restart', 'operator', 'r', 1, now() + interval '1 minute',
            now() - CAST(:age AS interval)) RETURNING id
    """
    made: UUID = (await world.execute(statement, game=game, age=age)).scalar_one()
    return made


async def test_a_stop_overtakes_what_hangs(world: Any) -> None:
    """By force, and after a minute, a stop supersedes an open operation."""
    game = await started(world)
    hanging = await _insert(world, game, "61 seconds")
    stop = await world.operate(game, Operation.STOP, force=True)
    assert (await world.finished(stop)).outcome == "succeeded"
    assert (await world.finished(hanging)).outcome == "superseded"
    assert world.host.engines == {}
    start = await world.operate(game, Operation.START)
    assert (await world.finished(start)).outcome == "succeeded"
    assert len(world.host.engines) == 1


@pytest.mark.parametrize("trigger", ["scheduled", "forced", "final"])
async def test_a_turn_that_is_due_is_not_forced(world: Any, trigger: str) -> None:
    """It runs anyhow: forced as well, it would cost the tick after it."""
    game = await started(world)
    due = text("UPDATE runtime_records SET next_turn_at = now(), trigger = :trigger")
    with pytest.raises(Problem) as refused:
        async with world.database.transaction() as connection:  # in which nobody can claim it
            await connection.execute(due, {"trigger": trigger})
            await world.runtime.operate(connection, game, Operation.FORCE_NEXT_TURN, Actor(ActorKind.OPERATOR))
    assert (refused.value.status, refused.value.code) == (409, "turn_running")


async def test_a_forced_turn_leaves_the_schedule(world: Any) -> None:
    """The turn is due now, and the tick that was next will do nothing."""
    game = await started(world)
    tick = world.runtime.status(game).next_turn_at
    await world.operate(game, Operation.FORCE_NEXT_TURN)
    record = await whole_record(world, game)
    assert (record.skip_next, record.trigger, (record.tick_at - tick).days) == (True, "forced", 1)


@pytest.mark.parametrize("after", range(1, 9))
async def test_an_operation_whose_process_dies_is_taken_up(make_world: Any, after: int) -> None:
    """Whichever call to the host or the engine is a process's last, the next one carries the start to one end."""
    world = await make_world()
    await world.plugin._host.driver()
    calls = 0

    async def die(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            await asyncio.Event().wait()

    def make(spec: Any) -> DoubleEngine:
        engine = DoubleEngine()
        engine.hook = die
        return engine

    world.host.hook, world.host.make = die, make
    launch = world.a_launch()
    operation = await world.launch(launch)
    open_ = "SELECT outcome FROM runtime_operation_log WHERE id = :id"
    async with asyncio.timeout(10):
        while calls < after and (await world.rows(open_, id=operation)) == [(None,)]:
            await asyncio.sleep(0.02)
    second = await make_world(beside=world)
    await second.plugin._host.driver()
    for _, engine, _ in world.host.engines.values():
        engine.hook = None
    await world.execute("UPDATE runtime_operation_log SET lease_until = now() WHERE finished_at IS NULL")
    await world.execute("UPDATE runtime_records SET engine_lease_until = now()")
    second.booted.kernel.assembly.require_resources().wakeups.wake("runtime.operate")
    row = await second.finished(operation)
    assert row.outcome == "succeeded"
    assert await world.rows("SELECT turn FROM runtime_turns") == [(0,)]
    assert len(world.table.made) + len(second.table.made) == 1
    assert len({spec.id.name for spec, _, _ in world.host.engines.values()}) == 1


async def test_an_ended_game_supersedes_its_operation(world: Any) -> None:
    """A game that is cancelled while it starts has no first position, and one closed row."""
    await world.plugin._host.driver()
    reached, gate = held_launches(world)
    launch = world.a_launch(seats=1)
    operation = await world.launch(launch)
    await asyncio.wait_for(reached.wait(), 10)
    async with world.database.transaction() as connection:
        await world.runtime.end(connection, launch.game_id)
    gate.set()
    assert (await world.finished(operation)).outcome == "superseded"
    async with asyncio.timeout(10):
        while world.host.engines:
            await asyncio.sleep(0.02)
    assert world.table.made == []


async def test_names_and_machines_reach_the_engine(world: Any) -> None:
    """Seats keep their names; a long game of eight seats starts as well."""
    seats = tuple(SeatPlayer(seat=seat, name="N" * 80, machine=seat > 1) for seat in range(1, 9))
    launch = world.a_launch(seats=8)
    launch = msgspec.structs.replace(launch, seats=seats)
    assert (await world.finished(await world.launch(launch))).outcome == "succeeded"
    assert (await whole_record(world, launch.game_id)).seats["2"] == {"name": "N" * 80, "machine": True}


async def test_a_start_that_hangs_can_be_stopped_by_force(world: Any) -> None:
    """A game whose start is overtaken by a stop could not be started, and its owner may try again."""
    await world.plugin._host.driver()
    world.host.failure = HostUnreachable("the host is away")
    launch = world.a_launch()
    start = await world.launch(launch)
    await world.execute("UPDATE runtime_operation_log SET started_at = now() - interval '61 seconds'")
    await world.operate(launch.game_id, Operation.STOP, force=True)
    assert (await world.finished(start)).outcome == "superseded"
    assert [failure.code for _, failure in world.table.failed] == ["start_failed"]


async def test_an_error_of_ours_ends_an_operation_after_some_tries(world: Any) -> None:
    """A start whose owner raises again and again is taken up a few times, and then has failed."""
    world.table.refuse = lambda made: ValueError("a bug")  # the signature
    launch = world.a_launch()
    start = await world.launch(launch)
    async with asyncio.timeout(30):
        while (await world.rows("SELECT outcome FROM runtime_operation_log")) == [(None,)]:
            await world.execute("UPDATE runtime_operation_log SET lease_until = now() WHERE lease > 0")
            world.plugin._context.wakeups.wake("runtime.operate")
            await asyncio.sleep(0.1)
    row = await world.finished(start)
    assert (row.outcome, row.error_code) == ("failed", "internal_error")
    assert [failure.code for _, failure in world.table.failed] == ["internal_error"]
