"""K01 to K10: coming up, describe, and how games begin."""

import asyncio
import json
from typing import Any

import msgspec

from galaxy_engine import limits
from galaxy_engine.checking import faults
from galaxy_engine.kit.differences import first_difference
from galaxy_engine.kit.examination import Examination, Game
from galaxy_engine.kit.findings import Failed, Noted, Skipped, Warned
from galaxy_engine.kit.registry import DETERMINISM, PROCESS, REFUSAL, SCHEMA, check
from galaxy_engine.kit.subject import Engine, Point, Reply, point_of

_ANOTHER_PORT = 8081
"""A port that is not the default; a container has all of its own."""


@check("K01", "comes up", PROCESS)
async def comes_up(x: Examination) -> str:
    engine = await x.engine()
    return f"healthy at {engine.address}"


@check(
    "K02",
    "listens on $PORT",
    "The engine listens on 0.0.0.0:$PORT, 8080 when it is unset (which is not tried: hosts set it).",
)
async def listens_on_port(x: Examination) -> str:
    if not x.subject.launches:
        raise Skipped("the kit did not start this engine")
    engine, other = await x.engine(), await x.other()
    if x.subject.kind == "docker":  # where both have the port that is the default
        other = await _elsewhere(x)
    return " and ".join(found.address for found in (engine, other) if found)


async def _elsewhere(x: Examination) -> Engine:
    """Return an engine that was told another port than the others, and was healthy there."""
    try:
        engine = await x.started(4, port=_ANOTHER_PORT)
    except Failed as exc:
        expected = f"healthy with PORT={_ANOTHER_PORT}"
        raise Failed("it does not listen where PORT says", expected=expected, came=exc.came) from exc
    await x.subject.stop(engine, grace=0)
    return engine


@check("K03", "describe is well formed", SCHEMA)
async def describe_is_well_formed(x: Examination) -> str:
    describe = await x.describe()
    capabilities = ", ".join(describe.capabilities) or "none"
    players = f"{describe.players.min} to {describe.players.max} players"
    return f"{describe.engine} {describe.version}, {players}, capabilities: {capabilities}"


@check("K04", "describe never changes", DETERMINISM)
async def describe_never_changes(x: Examination) -> None:
    engine, _, first = await x.engine(), await x.describe(), None
    opening, game = await x.opening(), await x.game()
    x.trace.restart()
    for situation in ("at first", "after init", "after a turn"):
        if situation == "after init":
            await engine.init(game.init())
        elif situation == "after a turn":
            await engine.turn(0, x.seed(0), await x.ordering(opening))
        reply = await engine.describe()
        first = first or reply
        if reply.status != 200 or json.loads(first.body) != json.loads(reply.body):
            came = first_difference(first.body, reply.body) if reply.status == 200 else reply.shown
            raise Failed(f"describe is another {situation}", expected="the same answer every time", came=came)


@check("K05", "options_schema is a JSON Schema that has valid options", SCHEMA)
async def options_schema_is_one(x: Examination) -> str:
    return f"games are begun with options {json.dumps(await x.options())}"


@check(
    "K06",
    "init works for the least and the most players",
    "A position has turn 0 after init, and a report for each seat.",
)
async def init_works(x: Examination) -> str:
    engine, describe, options = await x.engine(), await x.describe(), await x.options()
    await x.opening()
    counts = sorted({describe.players.min, describe.players.max})
    for count in counts:
        x.trace.restart()
        game = x.make_game("players", count, options)
        _sound(point_of(await engine.init(game.init())), game)
    return f"with {' and '.join(map(str, counts))} seats"


def _sound(point: Point, game: Game) -> None:
    found = [fault.text for fault in faults(point.position, turn=0, seats=game.seats)]
    if found:
        expected = f"position 0 of a game with {len(game.seats)} seats"
        raise Failed("position 0 does not fit the game", expected=expected, came="; ".join(found))


@check("K07", "init is deterministic", DETERMINISM)
async def init_is_deterministic(x: Examination) -> str:
    return await inits_are_deterministic(x)


async def inits_are_deterministic(x: Examination) -> str:
    """Return how it was seen that they are (K07)."""
    return await x.once("init_is_deterministic", "K07", lambda: _compare_inits(x))


async def _compare_inits(x: Examination) -> str:
    engine, game, _ = await x.engine(), await x.game(), await x.opening()
    x.trace.restart()
    first = point_of(await engine.init(game.init()))
    await asyncio.sleep(x.settings.pause)
    x.same(first, point_of(await engine.init(game.init())), "the same bytes from the same process")
    other = await x.other()
    if other is None:
        return "on one process; the kit cannot start a second one"
    x.trace.restart()
    await engine.init(game.init())
    x.same(first, point_of(await other.init(game.init())), "the same bytes from a second process")
    return "on one process and on two"


@check("K08", "init depends on the seed", "All randomness comes from the seed.")
async def init_depends_on_the_seed(x: Examination) -> None:
    engine, game, _ = await x.engine(), await x.game(), await x.opening()
    first = point_of(await engine.init(game.init()))
    second = point_of(await engine.init(msgspec.structs.replace(game, seed=x.seed("another")).init()))
    if first.body == second.body:
        raise Noted("two seeds begin the same game: fine if nothing in the opening is left to chance")


@check("K09", "seats outside players are refused", REFUSAL)
async def seats_outside_players_are_refused(x: Examination) -> str:
    engine, describe, options = await x.engine(), await x.describe(), await x.options()
    counts = [count for count in (describe.players.min - 1, describe.players.max + 1) if 1 <= count <= limits.SEATS]
    if not counts:
        raise Skipped("players is 1 to 255: no game has too few or too many seats")
    taken = []
    for count in counts:
        reply = await _init_and_play(x, engine, x.make_game("seats", count, options))
        if not reply.refused:
            taken.append(str(count))
    if taken:
        raise Warned(f"games with {' and '.join(taken)} seats begin; the host checks too, so nothing breaks")
    return f"{' and '.join(map(str, counts))} seats are refused"


@check("K10", "options that break options_schema are refused", REFUSAL)
async def bad_options_are_refused(x: Examination) -> str:
    engine, describe, game = await x.engine(), await x.describe(), await x.game()
    properties = describe.options_schema.get("properties", {})
    wrong = (
        {name: _of_another_type(schema) for name, schema in properties.items()} if isinstance(properties, dict) else {}
    )
    wrong = {name: value for name, value in wrong.items() if value is not None}
    taken = []
    for name, value in wrong.items():
        bad = msgspec.structs.replace(game, options={**game.options, name: value})
        if not (await _init_and_play(x, engine, bad)).refused:
            taken.append(name)
    request = {**msgspec.to_builtins(game.init()), "options": 7}
    await _init_and_play(x, engine, game, request)
    if taken:
        raise Warned(f"wrong types are taken for {', '.join(taken)}; the host checks too, so nothing breaks")
    return f"tried with {len(wrong) + 1} wrong values"


def _of_another_type(schema: Any) -> Any:
    """Return a value of a type that a property's schema does not allow; None if it allows all that are tried."""
    kinds = schema.get("type") if isinstance(schema, dict) else None
    allowed = {kinds} if isinstance(kinds, str) else set(kinds or ())
    if not allowed:
        return None
    others = {"string": "seven", "object": {"a": 1}, "array": [1], "boolean": True}
    return next((value for kind, value in others.items() if kind not in allowed), None)


async def _init_and_play(x: Examination, engine: Engine, game: Game, request: Any = None) -> Reply:
    """Try to begin a game that should be refused; if it is, the game that was loaded before must still be there."""
    step = await x.last_step()
    expected = await x.replay(engine, step)
    x.trace.restart()
    await engine.load(step.before)
    reply = await engine.init(request or game.init())
    if reply.broken:
        raise Failed("no refusal", expected="4xx, or 200 from an engine that is less strict", came=reply.shown)
    if reply.refused:
        for seat, orders in step.sets.items():
            await engine.accept(seat, step.before.turn, orders)
        after = point_of(await engine.turn(step.before.turn, step.seed, step.absent))
        x.same(expected, after, "the game that was loaded goes on after a refused init")
    return reply
