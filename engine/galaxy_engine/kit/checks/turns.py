"""K18 to K25, K34: what turns depend on, and what they leave behind."""

from typing import Any

import msgspec

from galaxy_engine.kit.checks.beginning import inits_are_deterministic
from galaxy_engine.kit.examination import Examination, Step
from galaxy_engine.kit.findings import Skipped
from galaxy_engine.kit.registry import ABSENT, AFTER_TURN, DETERMINISM, STATE, UNKNOWN, check
from galaxy_engine.kit.subject import Engine, Point, point_of

_MORE = {"k34_unknown_member": {"of": ["a", "later", "contract"]}}


@check("K18", "turn is deterministic", DETERMINISM)
async def turn_is_deterministic(x: Examination) -> str:
    await x.deterministic()
    processes = "one process and on two" if x.subject.launches else "one process; the kit cannot start a second one"
    return f"{len(await x.line())} turns on {processes}"


@check("K19", "a repeated turn gives the same answer", AFTER_TURN)
async def repeat_gives_the_same_answer(x: Examination) -> str:
    await repeats(x)
    return "asked twice more"


async def repeats(x: Examination) -> None:
    """Return if a turn may be asked for again (K19)."""
    await x.once("repeats", "K19", lambda: _repeat(x))


async def _repeat(x: Examination) -> bool:
    engine, step = await x.engine(), await x.last_step()
    x.trace.restart()
    after = await x.replay(engine, step)
    for _ in range(2):
        again = point_of(await engine.turn(step.before.turn, step.seed, step.absent))
        x.same(after, again, "the answer that this turn had")
    return True


@check("K20", "restore is complete", STATE)
async def restore_is_complete(x: Examination) -> str:
    return await x.once("restores", "K20", lambda: _restore(x))


async def _restore(x: Examination) -> str:
    engine, steps = await x.engine(), await x.line()
    await x.comparable()
    x.trace.restart()
    await engine.load(steps[0].before)
    straight = [await _all_order(x, engine, step) for step in steps]
    for step, point in zip(steps, straight, strict=True):
        await engine.load(step.before)
        restored = await _all_order(x, engine, step)
        x.same(point, restored, f"turn {step.before.turn} as in a game that was not restored")
    return f"{len(steps)} turns"


async def _all_order(x: Examination, engine: Engine, step: Step) -> Point:
    """Play a step from what the engine holds; every other seat sends an empty set, so that no older one can count."""
    for seat in (await x.game()).seats:
        if seat in step.sets:
            await engine.accept(seat, step.before.turn, step.sets[seat])
        else:
            await engine.order(seat, step.before.turn, ())
    return point_of(await engine.turn(step.before.turn, step.seed, step.absent))


@check("K21", "no orders are left after a turn", AFTER_TURN)
async def no_orders_are_left(x: Examination) -> str:
    engine, found = await x.engine(), 0
    await x.all_absent()
    await x.once("restores", "K20", lambda: _restore(x))
    for step in await x.line():
        after, seed = step.after, x.seed("K21")
        if after.position.finished:
            continue
        absent = await x.ordering(after)
        x.trace.restart()
        restored = await engine.play(after, {}, seed, absent)
        await x.replay(engine, step)
        straight = point_of(await engine.turn(after.turn, seed, absent))
        x.same(restored, straight, "the turn without orders, as after a restore")
        found += 1
    if not found:
        raise Skipped("the game is over after its first turn")
    return f"after {found} turns"


@check("K22", "no memory between games", STATE)
async def no_memory_between_games(x: Examination) -> str:
    engine, steps = await x.engine(), await x.line()
    await x.comparable()
    await engine.init((await x.game()).init())
    first = [await x.replay(engine, step) for step in steps]
    x.trace.restart()
    other = point_of(await engine.init((await x.game("another")).init()))
    if other.position.finished:
        raise Skipped("the second game is finished before its first turn")
    second = await x.step(engine, other)
    for step, expected in zip(steps, first, strict=True):
        x.trace.restart()
        x.same(expected, await x.replay(engine, step), "the turn of the first game as before the second began")
        x.same(second.after, await x.replay(engine, second), "the turn of the second game as before")
    return f"{len(steps) + 1} turns of two games"


@check("K23", "a fresh process takes up any game", STATE)
async def fresh_process_takes_up_a_game(x: Examination) -> str:
    if not x.subject.launches:
        raise Skipped("the kit cannot start a second process of an engine that it has by its address alone")
    engine, step = await x.engine(), await x.last_step()
    expected = await x.replay(engine, step)
    fresh = await x.started(2)
    try:
        await x.replay(engine, step)
        x.same(expected, await x.replay(fresh, step), "the turn as on the process that began the game")
    finally:
        await x.subject.stop(fresh, grace=x.settings.stop_within)
    return f"turn {step.before.turn}"


@check("K24", "absent works", ABSENT)
async def absent_works(x: Examination) -> str:
    await x.all_absent()
    engine, step = await x.engine(), await x.last_step()
    absent = await x.ordering(step.before)
    x.trace.restart()
    first = await engine.play(step.before, {}, step.seed, absent)
    x.same(first, await engine.play(step.before, {}, step.seed, absent), "the same bytes when all are absent again")
    for seat in absent:
        x.trace.restart()
        sets = {each: orders for each, orders in step.sets.items() if each != seat}
        rest = tuple(each for each in absent if each not in sets)
        await engine.play(step.before, sets, step.seed, rest)
    return f"all of {len(absent)} seats, and each alone"


@check("K25", "vacant works", ABSENT)
async def vacant_works(x: Examination) -> str:
    await x.all_absent()
    engine, step = await x.engine(), await x.last_step()
    absent = await x.ordering(step.before)
    for vacant in (absent, absent[:1]):
        x.trace.restart()
        first = await engine.play(step.before, {}, step.seed, absent, vacant=vacant)
        again = await engine.play(step.before, {}, step.seed, absent, vacant=vacant)
        x.same(first, again, "the same bytes when they are vacant again")
    return f"all of {len(absent)} seats, and one"


@check("K34", "members that are not known are ignored", UNKNOWN)
async def unknown_members_are_ignored(x: Examination) -> str:
    engine, game, step = await x.engine(), await x.game(), await x.last_step()
    await inits_are_deterministic(x)
    x.trace.restart()
    plain = point_of(await engine.init(game.init()))
    request: dict[str, Any] = {**msgspec.to_builtins(game.init()), **_MORE}
    request["seats"] = [{**seat, **_MORE} for seat in request["seats"]]
    x.same(plain, point_of(await engine.init(request)), "position 0 as without them")
    expected = await x.replay(engine, step)
    x.trace.restart()
    await engine.load(step.before, **_MORE)
    for seat, orders in step.sets.items():
        await engine.accept(seat, step.before.turn, orders, **_MORE)
    after = point_of(await engine.turn(step.before.turn, step.seed, step.absent, **_MORE))
    x.same(expected, after, "the position as without them")
    return "in init, state, orders and turns"
