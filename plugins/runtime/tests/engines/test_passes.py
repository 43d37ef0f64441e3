"""Engines are as their records want them, whatever happens to them while nobody asks for them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from engine_play import SOON, reconciled, running, state

from galaxy_engine.drivers.driver import EngineId, Observed
from galaxy_engine.failures import Unhealthy
from galaxy_runtime.engines import passes, workers


async def test_an_engine_that_vanished_is_replaced(world: Any) -> None:
    """What somebody removed by hand is noticed by the reconciler, and told to nobody."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    for name, (_, engine, _) in list(world.host.engines.items()):
        await engine.stop()
        del world.host.engines[name]
    await reconciled(world, game)
    assert running(world, game) == [2]
    assert world.fakes.notifications.intents == []


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
        while (await state(world, game, "generation", "generation_issued", "status")) != (8, 8, "healthy"):
            await world.plugin._passes.reconcile()
    assert running(world, game) == [8]


async def test_an_unused_engine_sleeps_and_wakes(world: Any) -> None:
    """Unused for long, with no turn soon, an engine goes; the next use has it started again."""
    game = await world.playing(interval=timedelta(days=2))
    await world.plugin._engines.open(game, SOON)
    await world.plugin._engines.note_used()
    await world.plugin._passes.tend()
    assert running(world, game) == [1]
    world.plugin.time.shift = timedelta(hours=1)
    await world.plugin._passes.tend()
    assert (running(world, game), await state(world, game, "wanted", "handle")) == ([], ("idle", None))
    assert (await world.plugin._engines.open(game, SOON)).generation == 1


async def test_an_engine_wakes_before_its_turn(world: Any) -> None:
    """A sleeping engine is started shortly before the turn."""
    game = await world.playing(interval=timedelta(hours=2), wanted="idle")
    world.plugin.time.shift = timedelta(hours=2) - timedelta(seconds=20)
    await world.plugin._passes.tend()
    async with asyncio.timeout(10):
        while (await state(world, game, "status")) != ("healthy",):
            await asyncio.sleep(0.02)


async def test_all_engines_end_at_once(world: Any) -> None:
    """After the host's restart every game has one engine again, of the next generation."""
    games = [await world.playing() for _ in range(10)]
    await asyncio.gather(*(world.plugin._engines.open(game, SOON) for game in games))
    for game in games:
        await world.host.kill(game)
    await world.plugin._passes.reconcile()
    async with asyncio.timeout(10):
        while [running(world, game) for game in games] != [[2]] * 10:
            await world.plugin._passes.reconcile()


async def test_what_ends_while_nobody_hears_of_it_is_found(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that ends between two subscriptions to the host's hints is replaced once the second one has begun."""
    monkeypatch.setattr(passes, "_WATCH_AGAIN", 0.05)
    monkeypatch.setattr(workers, "_TEND", timedelta(hours=1))
    world, begun = await make_world(), 0
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    world.host.hints = asyncio.Queue()  # another one than that which is heard

    async def watch() -> AsyncIterator[UUID]:
        nonlocal begun
        begun += 1
        if begun == 2:
            await world.host.kill(game)
            await asyncio.Event().wait()
        for none in ():
            yield none

    world.host.watch = watch
    watching = asyncio.create_task(world.plugin._passes.watch())
    await world.until(lambda: running(world, game) == [2])
    watching.cancel()


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
        return web.Response(status=500)

    world.host.engine_of(game).hook = hang
    await world.plugin._passes.tend()
    assert (await state(world, game, "status")) == ("unhealthy",)
    with pytest.raises(Unhealthy):
        await world.plugin._engines.open(game, SOON)
    await world.execute("UPDATE runtime_records SET unhealthy_since = now() - interval '31 seconds'")
    await reconciled(world, game)
    assert running(world, game) == [2]


async def test_an_engine_that_was_woken_does_not_sleep_again_at_once(world: Any) -> None:
    """Who wakes an engine has it for as long as one that was used just now."""
    game = await world.playing(interval=timedelta(days=2), wanted="idle")
    await world.execute("UPDATE runtime_records SET used_at = now() - interval '5 hours'")
    await world.plugin._engines.open(game, SOON)
    await world.plugin._passes.tend()
    assert running(world, game) == [1]
