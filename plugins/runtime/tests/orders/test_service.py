"""Orders: judged, committed, and never lost; the last final one makes the turn run, once."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from sqlalchemy import text

from galaxy_contracts.runtime import Submission
from galaxy_engine.limits import ORDERS_COUNT
from galaxy_kernel.api import Problem, new_id

SOON = timedelta(seconds=10)


def _set(*orders: Any, turn: int = 0, **fields: Any) -> Submission:
    raws = tuple(msgspec.Raw(msgspec.json.encode(order)) for order in orders)
    return Submission(turn=turn, orders=raws, account_id=new_id(), **fields)


async def _put(world: Any, game: UUID, seat: int = 1, *orders: Any, **fields: Any) -> Any:
    return await world.runtime.put_orders(game, seat, _set(*orders, **fields))


async def _stored(world: Any, game: UUID, seat: int = 1) -> Any:
    async with world.database.reading() as connection:
        return await world.runtime.orders(connection, game, seat)


async def _refused(world: Any, game: UUID, seat: int = 1, *orders: Any, **fields: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        await _put(world, game, seat, *orders, **fields)
    return refused.value


def _engines(world: Any, capabilities: tuple[str, ...]) -> None:
    world.host.make = lambda spec: DoubleEngine(capabilities)


@pytest.mark.parametrize("capabilities", [("validate", "options", "suggest", "bundle"), ()])
async def test_a_set_is_judged_and_kept(world: Any, capabilities: tuple[str, ...]) -> None:
    """A set that the engine accepts is there, whether or not the engine can judge without taking it."""
    await world.plugin._host.driver()
    _engines(world, capabilities)
    game = await world.playing()
    receipt = await _put(world, game, 1, {"go": 1}, {"go": 2})
    assert (receipt.turn, receipt.revision, receipt.final) == (0, 1, False)
    stored = await _stored(world, game)
    assert (bytes(memoryview(stored.orders)), stored.revision) == (b'[{"go":1},{"go":2}]', 1)
    assert (world.runtime.status(game).sent, world.runtime.status(game).final) == ((1,), ())
    assert (await _put(world, game, 1, final=True)).revision == 2
    assert (world.runtime.status(game).sent, world.runtime.status(game).final) == ((1,), (1,))
    assert (await _put(world, game, 1)).revision == 3
    assert world.runtime.status(game).final == ()


@pytest.mark.parametrize("capabilities", [("validate",), ()])
async def test_a_refused_set_leaves_the_former_one(world: Any, capabilities: tuple[str, ...]) -> None:
    """What the engine has against a set is answered by field, and nothing changes."""
    await world.plugin._host.driver()
    _engines(world, capabilities)
    game = await world.playing()
    await _put(world, game, 1, {"go": 1})
    problem = await _refused(world, game, 1, {"go": 2}, {"bad": True})
    assert (problem.status, problem.code) == (422, "orders_refused")
    assert [(fault.field, fault.message) for fault in problem.faults] == [("orders.1", "bad: bad order")]
    assert (await _stored(world, game)).revision == 1


async def test_the_current_turn_alone_takes_orders(world: Any) -> None:
    """Another turn, a seat that is not awaited, a turn that runs, one whose deadline has passed, and no game."""
    game = await world.playing()
    assert (await _refused(world, game, turn=1)).code == "turn_over"
    assert (await _refused(world, game, 3)).code == "not_awaited"
    assert (await _refused(world, new_id())).status == 404
    await world.change(game, orders_closed_at=world.clock.now())
    assert (await _refused(world, game)).code == "turn_running"
    await world.change(game, orders_closed_at=None)
    await world.plugin._engines.open(game, SOON)
    world.plugin.time.shift = timedelta(days=1, seconds=1)
    assert (await _refused(world, game)).code == "turn_running"
    assert await _stored(world, game) is None
    await world.change(game, skip_next=True)
    assert (await _put(world, game)).revision == 1


async def test_a_suspended_game_keeps_orders(world: Any) -> None:
    """Orders sent during a pause count; a game that runs when all are final runs when it goes on."""
    game = await world.playing(run_when_final=True)
    async with world.database.transaction() as connection:
        await world.runtime.suspend(connection, game)
    for seat in (1, 2):
        await _put(world, game, seat, final=True)
    async with world.database.transaction() as connection:
        await world.runtime.resume(connection, game)
        # within the transaction: after it the turn runs
        due = text("SELECT trigger, next_turn_at <= now() FROM runtime_records WHERE game_id = :id")
        assert (await connection.execute(due, {"id": game})).one() == ("final", True)


async def test_another_revision_is_refused(world: Any) -> None:
    """A set that was made for another stored one is refused with the revision that is there."""
    game = await world.playing()
    assert (await _refused(world, game, 1, expected_revision=3)).code == "orders_changed"
    assert (await _put(world, game, 1, expected_revision=0)).revision == 1
    problem = await _refused(world, game, 1, expected_revision=0)
    assert (problem.status, "revision 1" in problem.detail) == (412, True)
    assert (await _put(world, game, 1, expected_revision=1)).revision == 2


async def test_limits_hold_before_the_engine_is_asked(world: Any) -> None:
    """Too many orders, too large ones, and bytes that are not UTF-8 are the field's fault."""
    game = await world.playing()
    for orders in ([1] * (ORDERS_COUNT + 1), ["x" * 300_000]):
        problem = await _refused(world, game, 1, *orders)
        assert (problem.status, problem.faults[0].field) == (422, "orders")
    submission = Submission(turn=0, orders=(msgspec.Raw(b'"\xff"'),), account_id=new_id())
    with pytest.raises(Problem) as refused:
        await world.runtime.put_orders(game, 1, submission)
    assert [(each.field, each.message) for each in refused.value.faults] == [("orders", "must be UTF-8")]
    assert await world.rows("SELECT count(*) FROM runtime_orders") == [(0,)]


async def test_parallel_sets_of_one_seat_are_counted(world: Any) -> None:
    """Every set that was accepted has a revision of its own."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    receipts = await asyncio.gather(*(_put(world, game, 1, {"n": n}) for n in range(60)))
    assert sorted(receipt.revision for receipt in receipts) == list(range(1, 61))
    assert world.runtime.status(game).sent == (1,)


async def test_the_last_two_finals_at_once_run_the_turn_once(world: Any) -> None:
    """In every game exactly one of two simultaneous last finals makes the turn due."""
    games = [await world.playing(run_when_final=True) for _ in range(10)]
    await asyncio.gather(*(world.plugin._engines.open(game, SOON) for game in games))
    await asyncio.gather(*(_put(world, game, seat, final=True) for game in games for seat in (1, 2)))
    run = await world.rows("""
        SELECT (SELECT count(*) FROM runtime_turns WHERE trigger = 'final')
            + (SELECT count(*) FROM runtime_records WHERE trigger = 'final')
    """)
    assert run == [(10,)]


async def test_machines_and_vacant_seats_are_not_waited_for(world: Any) -> None:
    """The only person's final orders make the turn run."""
    game = await world.playing(seats=3, run_when_final=True)
    seats = {"1": {"name": "A"}, "2": {"name": "B", "machine": True}, "3": {"name": "C", "vacant": True}}
    await world.change(game, seats=seats)
    await _put(world, game, 1, final=True)
    rows = await world.rows("SELECT trigger, final_seat FROM runtime_records WHERE game_id = :id", id=game)
    turned = await world.rows("SELECT trigger FROM runtime_turns WHERE game_id = :id AND turn = 1", id=game)
    assert rows == [("final", 1)] or turned == [("final",)]


@pytest.mark.parametrize("answer", ["500", "garbage", "closed"])
async def test_a_broken_engine_accepts_nothing(world: Any, answer: str) -> None:
    """An engine that fails is a 503 with the failure's type; it is looked at before it is used again."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)

    async def hook(call: str, body: Any) -> web.StreamResponse | None:
        if call != "validate":
            return None
        return web.Response(status=500) if answer == "500" else web.Response(text="{")

    if answer == "closed":
        await world.host.engine_of(game).stop()
    else:
        world.host.engine_of(game).hook = hook
    problem = await _refused(world, game)
    code = {"500": "engine_error", "garbage": "engine_invalid", "closed": "unhealthy"}[answer]
    assert (problem.status, problem.code) == (503, code)
    assert (game in world.plugin._engines._suspected) == (answer != "garbage")
    assert await _stored(world, game) is None


async def test_an_engine_that_is_gone_costs_a_player_nothing(world: Any) -> None:
    """Memory knows an engine that another replica has removed: the next one is asked, and the set is accepted."""
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    known = world.plugin._cache.get(game)
    await world.host.kill(game)
    await world.plugin._engines.settle(game)
    async with world.database.transaction() as connection:
        await world.plugin._cache.put(connection, known)
    world.plugin._engines._suspected.clear()
    assert (await _put(world, game, 1, {"go": 1})).revision == 1
    assert [spec.id.generation for spec, _, _ in world.host.engines.values()] == [2]
    assert world.host.engine_of(game).calls.count("validate") == 2  # once more after it was loaded


async def test_an_engine_that_woke_up_is_loaded_first(world: Any) -> None:
    """What the engine holds does not matter: it is asked again with the current position."""
    game = await world.playing()
    engine = await world.plugin._engines.open(game, SOON)
    assert world.host.engine_of(game).state is None
    await _put(world, game, 1, {"go": 1})
    assert world.host.engine_of(game).calls[-3:] == ["validate", "state", "validate"]
    await engine.client.load(5, msgspec.Raw(b'{"turn":5,"seats":[1,2],"log":[]}'))
    assert msgspec.json.decode(await world.runtime.ask(game, 1, "options"))["turn"] == 0


async def test_questions_are_passed_on(world: Any) -> None:
    """Options and verdicts come as the engine gives them; an engine that lacks a capability is said to."""
    game = await world.playing()
    options = msgspec.json.decode(await world.runtime.ask(game, 2, "options"))
    assert options == {"turn": 0, "orders": [{"seat": 2}], "complete": True}
    verdict = await world.runtime.ask(game, 2, "validate", b'{"turn": 0, "orders": [{"bad": true}]}')
    assert msgspec.json.decode(verdict)["accepted"] is False
    _engines(world, ())
    bare = await world.playing()
    world.fakes.versions.change(world.version.id, describe={**DoubleEngine(()).described})
    for question, body in (("options", None), ("validate", b'{"turn": 0, "orders": []}')):
        with pytest.raises(Problem) as refused:
            await world.runtime.ask(bare, 1, question, body)
        assert refused.value.code == f"{question}_unsupported"


async def test_a_set_waits_for_another_ones_use_of_the_engine(world: Any) -> None:
    """Two replicas do not load an engine at once: the second waits for the first one's lease."""
    await world.plugin._host.driver()
    _engines(world, ())
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    await world.execute("UPDATE runtime_records SET order_lease_until = now() + interval '300 milliseconds'")
    assert (await _put(world, game)).revision == 1


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_a_set_that_is_cut_off_is_stored_or_not(world: Any, after: int) -> None:
    """A process that dies while a set is judged leaves nothing of it, and the next one is taken."""
    await world.plugin._host.driver()
    _engines(world, ())
    game = await world.playing()
    await world.plugin._engines.open(game, SOON)
    calls = 0

    async def die(call: str, body: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            await asyncio.Event().wait()

    world.host.engine_of(game).hook = die
    dying = asyncio.create_task(_put(world, game, 1, {"go": 1}))
    await world.until(lambda: calls >= after or dying.done())
    dying.cancel()
    await asyncio.wait([dying])
    world.host.engine_of(game).hook = None
    revisions = await world.rows("SELECT revision FROM runtime_orders WHERE game_id = :id", id=game)
    assert revisions == ([] if after < 3 else [(1,)])
    assert (await _put(world, game, 1, {"go": 2})).revision == len(revisions) + 1
