"""Clocks of records stop, go on and move as players are promised."""

import itertools
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from galaxy_contracts.runtime import Actor, ActorKind, Failure, Operation
from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import Problem
from galaxy_runtime.records import queries
from galaxy_runtime.schedules import ticks


async def _clock(world: Any, game_id: UUID) -> Any:
    async with world.database.transaction() as connection:
        return await queries.lock_clock(connection, game_id, world.plugin.time)


async def test_a_pause_keeps_what_is_left_of_an_interval(world: Any) -> None:
    """Suspended and resumed, a turn has as long as it had left; the grid of the interval moves along."""
    game = await world.playing(interval=timedelta(hours=4))
    before = await _clock(world, game)
    async with world.database.transaction() as connection:
        await world.runtime.suspend(connection, game)
    assert world.runtime.status(game).next_turn_at is None
    world.plugin.time.shift = timedelta(days=2)
    async with world.database.transaction() as connection:
        resumed = await world.runtime.resume(connection, game)
    after = await _clock(world, game)
    assert abs((resumed - before.tick_at) - timedelta(days=2)) < timedelta(seconds=5)
    assert resumed == after.tick_at == after.next_turn_at == after.anchor + timedelta(hours=4)
    assert world.runtime.status(game).next_turn_at == resumed


@pytest.mark.parametrize(
    ("told", "days", "resumes"), [("next", 0, 0), ("skipped", 0, 1), ("moved", 0, 2), ("next", 3, 3)]
)
async def test_a_pause_keeps_the_tick_of_cron_that_people_were_told(
    world: Any, told: str, days: int, resumes: int
) -> None:
    """Skipped before or moved, it comes no earlier; one that has passed meanwhile is followed by the next."""
    schedule = Schedule(cron="0 18 * * *", time_zone="Europe/Vienna")
    game = await world.placed(world.a_launch(schedule=schedule))
    first = world.runtime.status(game).next_turn_at
    upcoming = [first, *itertools.islice(ticks(schedule, first, first), 4)]
    if told == "skipped":
        await world.execute("UPDATE runtime_records SET skip_next = true, tick_at = :at", at=upcoming[1])
    async with world.database.transaction() as connection:
        if told == "moved":
            await world.runtime.postpone(connection, game, upcoming[2] + timedelta(minutes=5))
        await world.runtime.suspend(connection, game)
    world.plugin.time.shift = timedelta(days=days)
    async with world.database.transaction() as connection:
        resumed = await world.runtime.resume(connection, game)
    clock = await _clock(world, game)
    assert (
        resumed == clock.tick_at == clock.next_turn_at == upcoming[resumes] + timedelta(minutes=5 * (told == "moved"))
    )
    assert (clock.skip_next, clock.anchor == clock.next_turn_at) == (False, told == "moved")


async def test_a_forced_turn_that_is_paused_costs_no_tick(world: Any) -> None:
    """It has not run, so that the tick which it would have replaced does."""
    game = await world.playing(interval=timedelta(hours=4))
    tick = world.runtime.status(game).next_turn_at
    async with world.database.transaction() as connection:  # in which nobody can claim it
        await world.runtime.operate(connection, game, Operation.FORCE_NEXT_TURN, Actor(ActorKind.OPERATOR))
        await world.runtime.suspend(connection, game)
        assert abs(await world.runtime.resume(connection, game) - tick) < timedelta(seconds=5)
    assert await world.rows("SELECT outcome FROM runtime_operation_log") == [("superseded",)]


async def test_a_turn_that_has_begun_counts_though_the_game_is_suspended(world: Any) -> None:
    """A claimed turn goes on; its end is when the clock stops."""
    game = await world.playing()
    await world.execute(
        "UPDATE runtime_records SET due_at = now(), turn_claimed_at = now() WHERE game_id = :id", id=game
    )
    async with world.database.transaction() as connection:
        await world.runtime.suspend(connection, game)
    clock = await _clock(world, game)
    assert (clock.playing, clock.remaining) == (True, timedelta(0))
    async with world.database.transaction() as connection:
        await world.runtime.resume(connection, game)
    assert (await _clock(world, game)).remaining is None


async def test_the_next_turn_moves_later_never_earlier(world: Any) -> None:
    """A time before the next turn is refused by its field; a later one moves the grid."""
    game = await world.playing(interval=timedelta(hours=1))
    tick = world.runtime.status(game).next_turn_at
    async with world.database.transaction() as connection:
        with pytest.raises(Problem) as refused:
            await world.runtime.postpone(connection, game, tick)
        assert refused.value.faults[0].field == "until"
        later = tick + timedelta(minutes=90)
        assert await world.runtime.postpone(connection, game, later) == later
    clock = await _clock(world, game)
    assert (clock.tick_at, clock.anchor) == (later, later - timedelta(hours=1))


@pytest.mark.parametrize(("trigger", "skip"), [("scheduled", False), ("forced", True), ("final", True)])
async def test_a_turn_that_is_due_does_not_move(world: Any, trigger: str, skip: bool) -> None:
    """Its deadline has passed, though nobody has claimed it: it runs. A tick that will be skipped may move."""
    game = await world.playing()
    later = world.runtime.status(game).next_turn_at + timedelta(days=1)
    due = text("UPDATE runtime_records SET next_turn_at = now(), trigger = :trigger, skip_next = :skip")
    async with world.database.transaction() as connection:  # in which nobody can claim it
        await connection.execute(due, {"trigger": trigger, "skip": skip})
        with pytest.raises(Problem) as refused:
            await world.runtime.postpone(connection, game, later)
        assert (refused.value.status, refused.value.code) == (409, "turn_running")
        await connection.execute(due, {"trigger": "scheduled", "skip": True})
        assert await world.runtime.postpone(connection, game, later) == later


async def test_who_leaves_may_have_been_the_last_to_wait_for(world: Any) -> None:
    """A seat that becomes vacant makes a game run whose other seats have final orders."""
    game = await world.playing(seats=3, run_when_final=True)
    await world.execute("UPDATE runtime_records SET sent = '{1,3}', final = '{1,3}' WHERE game_id = :id", id=game)
    async with world.database.transaction() as connection:
        await world.runtime.vacate(connection, game, 2)
    row = (await world.rows("SELECT trigger, next_turn_at <= now() FROM runtime_records WHERE game_id = :id", id=game))[
        0
    ]
    assert row == ("final", True)


async def test_a_closed_record_runs_no_turn(world: Any) -> None:
    """What has ended is forgotten, its engine is not wanted any more, and a second end changes nothing."""
    game = await world.playing()
    for _ in range(2):
        async with world.database.transaction() as connection:
            await world.runtime.end(connection, game)
    assert world.runtime.status(game) is None
    rows = await world.rows(
        "SELECT ended, playing, wanted, next_turn_at FROM runtime_records WHERE game_id = :id", id=game
    )
    assert rows == [(True, False, "down", None)]
    async with world.database.transaction() as connection:
        with pytest.raises(Problem, match="404"):
            await world.runtime.suspend(connection, game)


async def test_a_quarantined_game_stands_still_with_open_orders(world: Any) -> None:
    """The clock stops, its owner is told why; attempts and crashes are counted afresh when it goes on."""
    game = await world.playing()
    await world.execute(
        "UPDATE runtime_records SET due_at = now(), orders_closed_at = now(), turn_attempts = 3, crashes = 8,"
        " not_before = now() + interval '5 min' WHERE game_id = :id",
        id=game,
    )
    failure = Failure("engine_timeout", "the engine took too long")
    async with world.database.transaction() as connection:
        await world.runtime.lock(connection, [game])
        await world.plugin._records.quarantine(connection, game, failure)
    assert world.table.halts == [(game, failure)]
    assert not world.runtime.status(game).orders_closed
    async with world.database.transaction() as connection:
        assert await world.runtime.resume(connection, game) is not None
    counts = "SELECT turn_attempts, crashes, not_before FROM runtime_records WHERE game_id = :id"
    assert await world.rows(counts, id=game) == [(0, 0, None)]
