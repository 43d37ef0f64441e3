"""Engines are there when they are needed, one for each game, whatever happens to hosts, engines and processes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from engine_play import SOON, held_launches, reconciled, running, state

from galaxy_engine.drivers.driver import EngineSpec
from galaxy_engine.failures import ConfigInvalid, HostUnreachable, ImageNotFound, NameTaken, StartFailed
from galaxy_kernel.api import Problem
from galaxy_runtime.engines.domain import BACKOFF, MOST_CRASHES


async def test_an_engine_is_started_once_and_then_known_from_memory(world: Any) -> None:
    """Many callers at once share one start; later ones ask neither the host nor the database."""
    game = await world.playing()
    engines = await asyncio.gather(*(world.plugin._engines.open(game, SOON) for _ in range(20)))
    assert {engine.generation for engine in engines} == {1}
    assert len(world.host.launches) == 1
    assert (await state(world, game, "status", "wanted", "generation")) == ("healthy", "up", 1)
    assert world.fakes.versions.get(world.version.id).describe["engine"] == "double"
    world.host.failure = HostUnreachable("the host is away")
    assert (await world.plugin._engines.open(game, SOON)).generation == 1
    assert world.host.engine_of(game).token is not None


async def test_an_engine_that_was_killed_is_replaced_by_the_next_generation(world: Any) -> None:
    """After a kill the next use has a new engine, and nothing is left of the old one."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game)
    world.plugin._engines.suspect(game)
    engine = await world.plugin._engines.open(game, SOON)
    assert engine.generation == 2
    await world.plugin._engines.settle(game)
    assert running(world, game) == [2]
    assert (await state(world, game, "crashes", "failure")) == (1, None)


async def test_a_caller_that_is_cancelled_does_not_cancel_the_start(world: Any) -> None:
    """A start goes on for those who come later."""
    game = await world.playing(wanted="idle")
    await world.plugin._host.driver()
    _, gate = held_launches(world)
    first = asyncio.create_task(world.plugin._engines.open(game, SOON))
    await world.until(lambda: len(world.plugin._engines._starting) == 1)
    first.cancel()
    with pytest.raises(Problem) as refused:
        await world.plugin._engines.open(game, timedelta(milliseconds=20))
    assert refused.value.code == "engine_waking"
    gate.set()
    assert (await world.plugin._engines.open(game, SOON)).generation == 1
    assert len(world.host.launches) == 1


@pytest.mark.parametrize("call", ["prepare", "launch", "observe"])
async def test_an_unreachable_host_concludes_nothing(world: Any, call: str) -> None:
    """While the host is away nothing is marked gone and no crash is counted; then everything goes on."""
    game = await world.playing(wanted="idle")
    await world.plugin._host.driver()

    async def away(name: str) -> None:
        if name == call:
            raise HostUnreachable("the host is away")

    world.host.hook = away
    with pytest.raises(HostUnreachable):
        await world.plugin._engines.open(game, SOON)
    if call == "observe":
        await world.plugin._passes.reconcile()
        assert (await world.plugin._passes.health()).state == "degraded"
    assert (await state(world, game, "crashes", "generation")) == (0, 1)
    world.host.hook = None
    await world.plugin._engines.open(game, SOON)
    await world.plugin._passes.reconcile()
    assert (await world.plugin._passes.health()).state == "ok"
    assert running(world, game) == [1]


async def test_a_foreign_engine_with_our_name_is_left_alone(world: Any) -> None:
    """Where something else holds the name, the next generation has another one; operators are told once."""
    game = await world.playing(wanted="idle")
    await world.plugin._host.driver()
    taken = iter([True, True, False])

    async def foreign(name: str) -> None:
        if name == "launch" and next(taken, False):
            raise NameTaken("a container of that name is not ours")

    world.host.hook = foreign
    assert (await world.plugin._engines.open(game, SOON)).generation == 3
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.start_config_invalid"]


async def test_failures_are_raised_noted_and_told_once_a_day(world: Any) -> None:
    """An image that is not there is one mail for all games on it."""
    games = [await world.playing(wanted="idle") for _ in range(3)]
    await world.plugin._host.driver()

    async def missing(name: str) -> None:
        if name == "prepare":
            raise ImageNotFound("there is no image double:1")

    world.host.hook = missing
    for game in games:
        with pytest.raises(ImageNotFound):
            await world.plugin._engines.open(game, SOON)
        assert (await state(world, game, "failure", "status")) == ("image_not_found", "crashed")
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.image_pull_failed"]


async def test_an_engine_of_another_contract_is_refused(world: Any) -> None:
    """What does not speak contract 1 is not used, and removed."""
    game = await world.playing(wanted="idle")
    await world.plugin._host.driver()

    def make(spec: EngineSpec) -> DoubleEngine:
        engine = DoubleEngine()
        engine.described["contract"] = 2
        return engine

    world.host.make = make
    with pytest.raises(ConfigInvalid):
        await world.plugin._engines.open(game, SOON)
    assert running(world, game) == []


async def test_a_game_is_paused_after_many_crashes(world: Any) -> None:
    """The last of several crashes in a row stops the game's clock, and tells operators and its owner."""
    game = await world.playing(wanted="up", crashes=MOST_CRASHES - 1)
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game, oom=True)
    await reconciled(world, game)
    assert (await state(world, game, "status", "wanted", "playing")) == ("failed", "idle", False)
    assert [(halted, failure.code) for halted, failure in world.table.halts] == [(game, "oom_killed")]
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.container_start_failed"]


async def test_back_off_grows_with_crashes(world: Any) -> None:
    """Of several crashes in a row the last waits long; the game's engine is being woken meanwhile."""
    game = await world.playing(crashes=4)
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game)
    await reconciled(world, game)
    waits = (await state(world, game, "not_before - statement_timestamp()"))[0]
    assert timedelta(0) < waits <= BACKOFF[4] == timedelta(seconds=60)
    world.plugin._engines.suspect(game)
    with pytest.raises(Exception, match="ended with status"):
        await world.plugin._engines.open(game, SOON)


async def test_crashes_are_forgotten_after_ten_healthy_minutes(world: Any) -> None:
    """Another one then is the first again, and the engine is started at once."""
    game = await world.playing(crashes=MOST_CRASHES - 1)
    await world.plugin._engines.open(game, SOON)
    await world.execute("UPDATE runtime_records SET healthy_since = now() - interval '601 s'")
    await world.host.kill(game)
    await reconciled(world, game)
    assert (await state(world, game, "status", "crashes", "generation", "playing")) == ("healthy", 1, 2, True)


async def test_two_backends_make_one_engine(make_world: Any) -> None:
    """Two processes that open and reconcile at once have one engine a game between them."""
    world = await make_world()
    games = [await world.playing() for _ in range(5)]
    await world.plugin._host.driver()
    second = await make_world(beside=world)
    await asyncio.gather(
        *(each.plugin._engines.open(game, SOON) for each in (world, second) for game in games),
        *(each.plugin._passes.reconcile() for each in (world, second)),
    )
    assert [running(world, game) for game in games] == [[1]] * 5


async def test_an_engine_that_ends_before_it_is_healthy_fails_by_how_it_ended(world: Any) -> None:
    """Nobody waits for its health until `start_timeout` has passed."""
    game, ending = await world.playing(wanted="idle"), set[asyncio.Task[None]]()
    await world.plugin._host.driver()

    def make(spec: EngineSpec) -> DoubleEngine:
        engine = DoubleEngine()

        async def end(call: str, body: Any) -> web.StreamResponse:
            ending.add(asyncio.create_task(world.host.kill(game, exit_code=3)))
            return web.Response(status=500)

        engine.hook = end
        return engine

    world.host.make = make
    with pytest.raises(StartFailed, match="ended with status 3"):
        await world.plugin._engines.open(game, SOON)
    await asyncio.gather(*ending)


async def test_a_host_that_is_away_while_an_engine_starts_costs_no_crash(world: Any) -> None:
    """Whether it runs is not known then: it is asked for its health until it answers."""
    game, away = await world.playing(wanted="idle"), 0
    await world.plugin._host.driver()

    def make(spec: EngineSpec) -> DoubleEngine:
        engine = DoubleEngine()

        async def starting(call: str, body: Any) -> web.StreamResponse | None:
            return web.Response(status=500) if call == "healthz" and away < 1 else None

        engine.hook, world.host.hook = starting, gone
        return engine

    async def gone(call: str) -> None:
        nonlocal away
        if call == "observe" and world.host.engine_of(game).calls.count("healthz") > 1 and away < 1:
            away += 1
            raise HostUnreachable("the host is away")

    world.host.make = make
    assert (await world.plugin._engines.open(game, SOON)).generation == 1
    assert (away, await state(world, game, "crashes", "status")) == (1, (0, "healthy"))


@pytest.mark.parametrize("fault", [False, True])
async def test_a_replacement_is_beside_or_nothing(world: Any, fault: bool) -> None:
    """A new engine stands beside the old one until it is the game's; an error leaves everything as it was."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    try:
        async with world.plugin._engines.replacing(game, version_id=world.version.id, image="double:2") as new:
            assert sorted(running(world, game)) == [1, 2]
            if fault:
                raise ValueError
            async with world.database.transaction() as connection:
                await new.switch(connection)
    except ValueError:
        pass
    assert running(world, game) == ([1] if fault else [2])
    assert (await world.plugin._engines.open(game, SOON)).generation == (1 if fault else 2)


async def test_a_stopped_engine_stays_away(world: Any) -> None:
    """What an operator has stopped is not started by its use."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.change(game, wanted="down")
    await world.plugin._engines.settle(game)
    assert running(world, game) == []
    with pytest.raises(Problem) as refused:
        await world.plugin._engines.open(game, SOON)
    assert refused.value.code == "engine_stopped"


async def test_a_stop_during_the_last_crash_is_kept(world: Any) -> None:
    """What is noted of an engine does not undo an operator's stop of the same moment."""
    game = await world.playing(crashes=MOST_CRASHES - 1)
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game)

    async def stop(call: str) -> None:
        if call == "logs":
            await world.change(game, wanted="down")

    world.host.hook = stop
    await world.plugin._engines.settle(game)
    assert await state(world, game, "status", "wanted") == ("failed", "down")


@pytest.mark.parametrize("after", range(1, 9))
async def test_a_process_that_dies_anywhere_leaves_what_the_next_one_finishes(make_world: Any, after: int) -> None:
    """Whichever call to the host is the last one of a process, the next process has one engine a game."""
    world = await make_world()
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game)
    calls = 0

    async def die(name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            await asyncio.Event().wait()

    world.host.hook = die
    world.plugin._engines.suspect(game)
    dying = asyncio.create_task(world.plugin._engines.open(game, SOON))
    await world.until(lambda: calls >= after or dying.done())
    second = await make_world(beside=world)
    await second.plugin._host.driver()
    await world.execute("UPDATE runtime_records SET engine_lease_until = now() - interval '1 second'")
    await second.plugin._engines.open(game, SOON)
    await second.plugin._engines.settle(game)
    assert len(running(world, game)) == 1
    dying.cancel()


async def test_a_switch_that_rolls_back_leaves_the_old_engine(world: Any) -> None:
    """A replacement whose transaction fails changes nothing."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    with pytest.raises(ValueError, match="rolled back"):
        async with (
            world.plugin._engines.replacing(game, version_id=world.version.id, image="double:2") as new,
            world.database.transaction() as connection,
        ):
            await new.switch(connection)
            raise ValueError("rolled back")
    assert running(world, game) == [1]
    assert (await state(world, game, "generation", "crashes")) == (1, 0)


async def test_what_a_dead_process_had_in_hand_is_looked_at_when_its_lease_ends(world: Any) -> None:
    """A pass that finds a lease held does nothing to the game, and the next one comes at the end of that lease."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.execute(
        "UPDATE runtime_records SET wanted = 'down', engine_lease = engine_lease + 1,"
        " engine_lease_until = statement_timestamp() + interval '1 hour'"
    )
    assert timedelta(minutes=59) < await world.plugin._passes.reconcile() <= timedelta(hours=1)
    assert running(world, game) == [1]
    await world.execute("UPDATE runtime_records SET engine_lease_until = NULL")
    await world.plugin._passes.reconcile()
    assert running(world, game) == []
