"""Engines are there when they are needed, one for each game, whatever happens to hosts, engines and processes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from engine_doubles import DoubleEngine

from galaxy_engine.drivers.driver import EngineId, EngineSpec, Observed
from galaxy_engine.failures import ConfigInvalid, HostUnreachable, ImageNotFound, NameTaken, Unhealthy
from galaxy_kernel.api import Problem
from galaxy_runtime.engines.domain import BACKOFF, MOST_CRASHES

SOON = timedelta(seconds=10)


async def _state(world: Any, game: UUID, *columns: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = (
        await world.rows(f"SELECT {', '.join(columns)} FROM runtime_records WHERE game_id = :id", id=game)
    )[0]
    return row


async def _reconciled(world: Any, game: UUID) -> None:
    """Reconcile, and wait for whoever holds the lease on the engine: a pass of the worker may have begun."""
    await world.plugin._passes.reconcile()
    await world.plugin._engines.settle(game)


async def _waiting(world: Any) -> UUID:
    """Return a game whose engine sleeps and, once it is up, does not make room: its turn is to be tried again."""
    game: UUID = await world.playing(wanted="idle", due_at=datetime.now(UTC))
    return game


def _running(world: Any, game: UUID) -> list[int]:
    return [seen.id.generation for _, _, seen in world.host.engines.values() if seen.id.game_id == game]


async def test_an_engine_is_started_once_and_then_known_from_memory(world: Any) -> None:
    """Many callers at once share one start; later ones ask neither the host nor the database."""
    game = await world.playing()
    engines = await asyncio.gather(*(world.plugin._engines.open(game, SOON) for _ in range(20)))
    assert {engine.generation for engine in engines} == {1}
    assert len(world.host.launches) == 1
    assert (await _state(world, game, "status", "wanted", "generation")) == ("healthy", "up", 1)
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
    assert _running(world, game) == [2]
    assert (await _state(world, game, "crashes", "failure")) == (1, None)


async def test_an_engine_that_vanished_is_replaced(world: Any) -> None:
    """What somebody removed by hand is noticed by the reconciler, and told to nobody."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    for name, (_, engine, _) in list(world.host.engines.items()):
        await engine.stop()
        del world.host.engines[name]
    await _reconciled(world, game)
    assert _running(world, game) == [2]
    assert world.fakes.notifications.intents == []


async def test_a_caller_that_is_cancelled_does_not_cancel_the_start(world: Any) -> None:
    """A start goes on for those who come later."""
    game, gate = await world.playing(wanted="idle"), asyncio.Event()
    await world.plugin._host.driver()

    async def slow(call: str) -> None:
        if call == "launch":
            await gate.wait()

    world.host.hook = slow
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
    assert (await _state(world, game, "crashes", "generation")) == (0, 1)
    world.host.hook = None
    await world.plugin._engines.open(game, SOON)
    await world.plugin._passes.reconcile()
    assert (await world.plugin._passes.health()).state == "ok"
    assert _running(world, game) == [1]


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
        assert (await _state(world, game, "failure", "status")) == ("image_not_found", "crashed")
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
    assert _running(world, game) == []


async def test_a_game_is_paused_after_many_crashes(world: Any) -> None:
    """The last of several crashes in a row stops the game's clock, and tells operators and its owner."""
    game = await world.playing(wanted="up", crashes=MOST_CRASHES - 1)
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game, oom=True)
    await _reconciled(world, game)
    assert (await _state(world, game, "status", "wanted", "playing")) == ("failed", "idle", False)
    assert [(halted, failure.code) for halted, failure in world.table.halts] == [(game, "oom_killed")]
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.container_start_failed"]


async def test_back_off_grows_with_crashes(world: Any) -> None:
    """Of several crashes in a row the last waits long; the game's engine is being woken meanwhile."""
    game = await world.playing(crashes=4)
    await world.plugin._engines.open(game, SOON)
    await world.host.kill(game)
    await _reconciled(world, game)
    waits = (await _state(world, game, "not_before - statement_timestamp()"))[0]
    assert timedelta(0) < waits <= BACKOFF[4] == timedelta(seconds=60)
    world.plugin._engines.suspect(game)
    with pytest.raises(Exception, match="ended with status"):
        await world.plugin._engines.open(game, SOON)


async def test_a_restored_database_does_not_reuse_generations(world: Any) -> None:
    """An engine above the highest generation issued is from a later time: generations go on above it."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    spec, engine, seen = next(iter(world.host.engines.values()))
    later = EngineId(seen.id.owner, game, 7)
    world.host.engines.clear()
    world.host.engines[later.name] = (
        spec,
        engine,
        Observed(later, "later", seen.image, "running", seen.address, seen.started_at),
    )
    async with asyncio.timeout(10):
        while (await _state(world, game, "generation", "generation_issued", "status")) != (8, 8, "healthy"):
            await world.plugin._passes.reconcile()
    assert _running(world, game) == [8]


async def test_an_unused_engine_sleeps_and_wakes(world: Any) -> None:
    """Unused for long, with no turn soon, an engine goes; the next use has it started again."""
    game = await world.playing(interval=timedelta(days=2))
    await world.plugin._engines.open(game, SOON)
    await world.plugin._engines.note_used()
    await world.plugin._passes.tend()
    assert _running(world, game) == [1]
    world.plugin.time.shift = timedelta(hours=1)
    await world.plugin._passes.tend()
    assert (_running(world, game), await _state(world, game, "wanted", "handle")) == ([], ("idle", None))
    assert (await world.plugin._engines.open(game, SOON)).generation == 1


async def test_an_engine_wakes_before_its_turn(world: Any) -> None:
    """A sleeping engine is started shortly before the turn."""
    game = await world.playing(interval=timedelta(hours=2), wanted="idle")
    world.plugin.time.shift = timedelta(hours=2) - timedelta(seconds=20)
    await world.plugin._passes.tend()
    async with asyncio.timeout(10):
        while (await _state(world, game, "status")) != ("healthy",):
            await asyncio.sleep(0.02)


async def test_the_longest_unused_makes_room(make_world: Any) -> None:
    """At most so many engines run; who comes takes the place of who was unused longest."""
    world = await make_world(max_engines="2")
    games = [await world.playing(interval=timedelta(days=3), wanted="idle") for _ in range(3)]
    for game in games:
        await world.plugin._engines.open(game, SOON)
        await world.plugin._engines.note_used()
    assert [_running(world, game) for game in games] == [[], [1], [1]]


async def test_no_more_engines_run_than_there_are_places(make_world: Any) -> None:
    """Two replicas that start many engines at once start as many as may run, whoever counts when; the others wait."""
    world = await make_world(max_engines="3", start_concurrency="8")
    games = [await _waiting(world) for _ in range(8)]
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
    first, other = [await _waiting(world) for _ in range(2)]
    await world.plugin._host.driver()
    gate, reached = asyncio.Event(), asyncio.Event()

    async def slow(call: str) -> None:
        if call == "launch":
            reached.set()
            await gate.wait()

    world.host.hook = slow
    starting = asyncio.create_task(world.plugin._engines.open(first, SOON))
    await reached.wait()
    with pytest.raises(Problem) as refused:
        await world.plugin._engines.open(other, SOON)
    assert refused.value.code == "engine_waking"
    await world.change(other, wanted="up")
    await world.plugin._passes.reconcile()
    gate.set()
    await starting
    assert (_running(world, first), _running(world, other)) == ([1], [])


async def test_a_suspected_engine_is_replaced_at_the_cap(make_world: Any) -> None:
    """The place of an engine that has ended is its game's own: the next generation takes it, and no other game."""
    world = await make_world(max_engines="2")
    games = [await _waiting(world) for _ in range(2)]
    waiting = await _waiting(world)
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
    assert [_running(world, game) for game in (*games, waiting)] == [[2], [1], []]


async def test_a_stop_in_the_midst_of_a_start_frees_the_place(make_world: Any) -> None:
    """What was reserved for an engine that nobody wants any more is free for the next."""
    world = await make_world(max_engines="1")
    first, other = [await _waiting(world) for _ in range(2)]
    await world.change(first, wanted="down", status="starting")
    await _reconciled(world, first)
    assert await _state(world, first, "status") == ("none",)
    assert (await world.plugin._engines.open(other, SOON)).generation == 1


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
    assert [_running(world, game) for game in games] == [[1]] * 5


async def test_all_engines_end_at_once(world: Any) -> None:
    """After the host's restart every game has one engine again, of the next generation."""
    games = [await world.playing() for _ in range(10)]
    await asyncio.gather(*(world.plugin._engines.open(game, SOON) for game in games))
    for game in games:
        await world.host.kill(game)
    await world.plugin._passes.reconcile()
    async with asyncio.timeout(10):
        while [_running(world, game) for game in games] != [[2]] * 10:
            await world.plugin._passes.reconcile()


async def test_an_engine_of_no_game_is_removed(world: Any) -> None:
    """What carries our owner and belongs to no record goes."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.execute("DELETE FROM runtime_records WHERE game_id = :id", id=game)
    async with asyncio.timeout(10):
        while world.host.engines:  # a pass of the worker may be under way
            await world.plugin._passes.reconcile()


async def test_a_silent_engine_is_replaced(world: Any) -> None:
    """An engine that hangs without ending is noticed by its health, and replaced after a while."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)

    async def hang(call: str, body: Any) -> Any:
        from aiohttp import web

        return web.Response(status=500)

    world.host.engine_of(game).hook = hang
    await world.plugin._passes.tend()
    assert (await _state(world, game, "status")) == ("unhealthy",)
    with pytest.raises(Unhealthy):
        await world.plugin._engines.open(game, SOON)
    await world.execute("UPDATE runtime_records SET unhealthy_since = now() - interval '31 seconds'")
    await _reconciled(world, game)
    assert _running(world, game) == [2]


@pytest.mark.parametrize("fault", [False, True])
async def test_a_replacement_is_beside_or_nothing(world: Any, fault: bool) -> None:
    """A new engine stands beside the old one until it is the game's; an error leaves everything as it was."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    try:
        async with world.plugin._engines.replacing(game, version_id=world.version.id, image="double:2") as new:
            assert sorted(_running(world, game)) == [1, 2]
            if fault:
                raise ValueError
            async with world.database.transaction() as connection:
                await new.switch(connection)
    except ValueError:
        pass
    assert _running(world, game) == ([1] if fault else [2])
    assert (await world.plugin._engines.open(game, SOON)).generation == (1 if fault else 2)


async def test_a_stopped_engine_stays_away(world: Any) -> None:
    """What an operator has stopped is not started by its use."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.change(game, wanted="down")
    await world.plugin._engines.settle(game)
    assert _running(world, game) == []
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
    assert await _state(world, game, "status", "wanted") == ("failed", "down")


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
    assert len(_running(world, game)) == 1
    dying.cancel()


async def test_an_engine_that_was_woken_does_not_sleep_again_at_once(world: Any) -> None:
    """Who wakes an engine has it for as long as one that was used just now."""
    game = await world.playing(interval=timedelta(days=2), wanted="idle")
    await world.execute("UPDATE runtime_records SET used_at = now() - interval '5 hours'")
    await world.plugin._engines.open(game, SOON)
    await world.plugin._passes.tend()
    assert _running(world, game) == [1]


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
    assert _running(world, game) == [1]
    assert (await _state(world, game, "generation", "crashes")) == (1, 0)


async def test_what_a_dead_process_had_in_hand_is_looked_at_when_its_lease_ends(world: Any) -> None:
    """A pass that finds a lease held does nothing to the game, and the next one comes at the end of that lease."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.execute(
        "UPDATE runtime_records SET wanted = 'down', engine_lease_until = statement_timestamp() + interval '1 hour'"
    )
    assert timedelta(minutes=59) < await world.plugin._passes.reconcile() <= timedelta(hours=1)
    assert _running(world, game) == [1]
    await world.execute("UPDATE runtime_records SET engine_lease_until = NULL")
    await world.plugin._passes.reconcile()
    assert _running(world, game) == []
