"""No more engines run than may, over all replicas, and the longest unused makes room."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from engine_play import SOON, asleep, held_launches, reconciled, running, state

from galaxy_kernel.api import Problem


async def test_the_longest_unused_makes_room(make_world: Any) -> None:
    """At most so many engines run; who comes takes the place of who was unused longest."""
    world = await make_world(max_engines="2")
    games = [await world.playing(interval=timedelta(days=3), wanted="idle") for _ in range(3)]
    for game in games:
        await world.plugin._engines.open(game, SOON)
        await world.plugin._engines.note_used()
    assert [running(world, game) for game in games] == [[], [1], [1]]


async def test_no_more_engines_run_than_there_are_places(make_world: Any) -> None:
    """Two replicas that start many engines at once start as many as may run, whoever counts when; the others wait."""
    world = await make_world(max_engines="3", start_concurrency="8")
    games = [await asleep(world) for _ in range(8)]
    second = await make_world(beside=world, max_engines="3", start_concurrency="8")
    most = 0

    async def count(call: str) -> None:
        nonlocal most
        most = max(most, len(world.host.engines))
        await asyncio.sleep(0)

    for each in (world, second):
        await each.plugin._host.driver()
        each.host.hook = count
    opened = [each.plugin._engines.open(game, SOON) for game in games for each in (world, second)]
    outcomes = await asyncio.gather(*opened, return_exceptions=True)
    assert {outcome.code for outcome in outcomes if isinstance(outcome, BaseException)} == {"engine_waking"}
    assert (most, len(world.host.engines)) == (3, 3)
    assert await world.rows("SELECT wanted, count(*) FROM runtime_records GROUP BY wanted ORDER BY wanted") == [
        ("idle", 5),
        ("up", 3),
    ]


async def test_a_launch_that_is_not_noted_yet_has_its_place(make_world: Any) -> None:
    """Between the reservation and the note of the engine nobody else has the place; the reconciler starts none."""
    world = await make_world(max_engines="1")
    first, other = [await asleep(world) for _ in range(2)]
    await world.plugin._host.driver()
    reached, gate = held_launches(world)
    starting = asyncio.create_task(world.plugin._engines.open(first, SOON))
    await reached.wait()
    with pytest.raises(Problem) as refused:
        await world.plugin._engines.open(other, SOON)
    assert refused.value.code == "engine_waking"
    await world.change(other, wanted="up")
    await world.plugin._passes.reconcile()
    gate.set()
    await starting
    assert (running(world, first), running(world, other)) == ([1], [])


async def test_a_suspected_engine_is_replaced_at_the_cap(make_world: Any) -> None:
    """The place of an engine that has ended is its game's own: the next generation takes it, and no other game."""
    world = await make_world(max_engines="2")
    games = [await asleep(world) for _ in range(2)]
    waiting = await asleep(world)
    for game in games:
        await world.plugin._engines.open(game, SOON)
    await world.host.kill(games[0])
    world.plugin._engines.suspect(games[0])

    async def meanwhile(call: str) -> None:
        if call == "prepare":
            world.host.hook = None
            with pytest.raises(Problem):
                await world.plugin._engines.open(waiting, SOON)

    world.host.hook = meanwhile
    assert (await world.plugin._engines.open(games[0], SOON)).generation == 2
    await world.plugin._engines.settle(games[0])
    assert [running(world, game) for game in (*games, waiting)] == [[2], [1], []]


async def test_a_stop_in_the_midst_of_a_start_frees_the_place(make_world: Any) -> None:
    """What was reserved for an engine that nobody wants any more is free for the next."""
    world = await make_world(max_engines="1")
    first, other = [await asleep(world) for _ in range(2)]
    await world.change(first, wanted="down", status="starting")
    await reconciled(world, first)
    assert await state(world, first, "status") == ("none",)
    assert (await world.plugin._engines.open(other, SOON)).generation == 1
