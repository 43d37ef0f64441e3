"""Engines that are late, wrong, silent, too big or changeable, and owners that raise: each game for itself."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from turn_play import LONG, force, made, pass_time, record, send, shows, told

from galaxy_engine.failures import HostUnreachable, OutOfMemory, StartFailed
from galaxy_engine.limits import CallTimes
from galaxy_kernel.api import Problem
from galaxy_runtime.errors import engine_stopped, engine_waking

AFTER_EACH = (timedelta(seconds=1), timedelta(seconds=5))
"""Between three attempts."""


def _broken(world: Any, answer: Any, capabilities: Any = ("validate", "options", "suggest", "bundle")) -> DoubleEngine:
    """Have every game's engine answer turns with `answer(engine, body)`; None passes on to the engine."""
    engine = DoubleEngine(capabilities=capabilities)

    async def hook(name: str, body: Any) -> web.StreamResponse | None:
        return await answer(engine, body) if name == "turns" else None

    engine.hook = hook
    world.engines.make = lambda game_id: engine
    return engine


async def _three_attempts(world: Any, game: UUID) -> None:
    """Let a turn come due and be tried until it is given up."""
    pass_time(world, LONG)
    for attempt, delay in enumerate(AFTER_EACH, start=1):
        await shows(world, game, turn_attempts=attempt, turn_claimed_at=None)
        pass_time(world, delay)
    await shows(world, game, playing=False)


async def _late(engine: DoubleEngine, body: Any) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _wrong(engine: DoubleEngine, body: Any) -> web.StreamResponse:
    return web.json_response({"turn": 7, "state": {}, "reports": {}})


async def _failing(engine: DoubleEngine, body: Any) -> web.StreamResponse:
    return web.json_response({}, status=500)


async def _silent(engine: DoubleEngine, body: Any) -> web.StreamResponse:
    raise ConnectionResetError


async def _too_big(engine: DoubleEngine, body: Any) -> web.StreamResponse:
    reports = {"1": {"text": "x" * 1_100_000}, "2": {}}
    return web.json_response({"turn": body["turn"] + 1, "state": {}, "reports": reports})


@pytest.mark.parametrize(
    ("answer", "code", "suspected"),
    [
        (_late, "engine_timeout", True),
        (_wrong, "engine_invalid", False),
        (_failing, "engine_error", True),
        (_silent, "engine_error", True),
        (_too_big, "engine_too_large", False),
    ],
    ids=["late", "wrong", "failing", "silent", "too big"],
)
async def test_three_failed_attempts_quarantine_the_game(world: Any, answer: Any, code: str, suspected: bool) -> None:
    """Its owner and operators are told once, orders open again, and nothing of the game has changed."""
    world.engines.times = CallTimes(turn=0.2)
    _broken(world, answer)
    game = await world.playing()
    await _three_attempts(world, game)
    assert [(halted, failure.code) for halted, failure in world.table.halts] == [(game, code)]
    assert [intent.kind for intent in world.fakes.notifications.intents] == ["runtime.turn_failed"]
    assert world.fakes.notifications.intents[0].payload["failure"] == code
    assert (game in world.engines.suspected) is suspected
    names = ("playing", "turn", "turn_failure", "due_at", "orders_closed_at")
    assert await record(world, game, *names) == (False, 0, code, None, None)
    assert await world.rows("SELECT count(*) FROM runtime_turns") == [(1,)]


async def test_a_game_goes_on_after_its_engine_is_mended(world: Any) -> None:
    """`resume` begins with a fresh count, and the orders that were there are used."""
    engine = _broken(world, _failing)
    game = await world.playing()
    await send(world, game, 1, [{"go": 1}])
    await _three_attempts(world, game)
    engine.hook = None
    async with world.database.transaction() as connection:
        await world.runtime.resume(connection, game)
    pass_time(world, LONG)
    assert (await made(world, game, 1)).absent == (2,)


async def test_a_failed_attempt_is_made_good_by_the_next(world: Any) -> None:
    """One failure costs a second, no more; the count begins again with the next turn."""
    failures = iter([True])

    async def once(engine: DoubleEngine, body: Any) -> web.StreamResponse | None:
        return web.json_response({}, status=500) if next(failures, False) else None

    _broken(world, once)
    game = await world.playing()
    pass_time(world, LONG)
    await shows(world, game, turn_attempts=1, turn_failure="engine_error", turn_claimed_at=None)
    assert world.runtime.status(game).orders_closed
    pass_time(world, AFTER_EACH[0])
    await made(world, game, 1)
    assert await record(world, game, "turn_attempts", "turn_failure") == (0, None)


async def test_an_engine_that_refuses_what_it_accepted_disagrees(world: Any) -> None:
    """The type says so, and the former position stands."""
    world.engines.make = lambda game_id: DoubleEngine(capabilities=("validate",))
    game = await world.playing()
    await send(world, game, 1, [{"bad": True}])
    await _three_attempts(world, game)
    assert world.table.halts[0][1].code == "engine_disagrees"


async def test_two_different_answers_quarantine_at_once(make_world: Any) -> None:
    """With every turn verified, one attempt is enough."""
    world = await make_world(verify="1")
    numbers = itertools.count()

    async def changeable(engine: DoubleEngine, body: Any) -> web.StreamResponse:
        reports = {"1": {}, "2": {}}
        return web.json_response({"turn": 1, "state": {"number": next(numbers)}, "reports": reports})

    _broken(world, changeable)
    game = await world.playing()
    pass_time(world, LONG)
    await world.until(lambda: bool(world.table.halts))
    assert world.table.halts[0][1].code == "engine_nondeterministic"
    assert await record(world, game, "turn_attempts") == 1


async def test_out_of_memory_twice_in_a_row_is_enough(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third time would end the same; other failures are tried as often as is set, the later ones after 25 s each."""
    world = await make_world(turn_attempts="9")
    causes = iter([None, None, None, OutOfMemory("killed"), OutOfMemory("killed")])

    async def cause(game_id: UUID, generation: int, failure: Exception) -> Exception:
        return next(causes) or failure

    monkeypatch.setattr(world.engines, "cause", cause)
    _broken(world, _failing)
    game = await world.playing()
    pass_time(world, LONG)
    for attempt, seconds in enumerate((1, 5, 25, 25), start=1):
        await shows(world, game, turn_attempts=attempt, turn_claimed_at=None)
        pass_time(world, timedelta(seconds=seconds))
    await shows(world, game, playing=False)
    assert [failure.code for _, failure in world.table.halts] == [OutOfMemory.code]


async def test_verified_turns_are_run_twice(make_world: Any) -> None:
    """An engine that keeps its word goes on."""
    world = await make_world(verify="1")
    game = await world.playing()
    pass_time(world, LONG)
    await made(world, game, 1)
    assert world.engines.engines[game].calls.count("turns") == 2


@pytest.mark.parametrize(
    ("failure", "delay"),
    [
        (HostUnreachable("away"), timedelta(seconds=5)),
        (StartFailed("no"), timedelta(seconds=5)),
        (OutOfMemory("killed before the turn"), timedelta(seconds=5)),
        (engine_waking(), timedelta(seconds=1)),
        (engine_stopped(), timedelta(seconds=10)),
    ],
    ids=["host away", "start failed", "out of memory", "waking", "stopped"],
)
async def test_no_engine_burns_no_attempt(world: Any, failure: Exception | Problem, delay: timedelta) -> None:
    """However often it is looked at, the turn waits with its orders closed, and runs once an engine is there."""
    world.engines.failure = failure
    game = await world.playing()
    pass_time(world, LONG)
    for lease in range(1, 6):
        await shows(world, game, turn_lease=lease, turn_attempts=0, turn_claimed_at=None)
        pass_time(world, delay)
    await shows(world, game, turn_lease=6, turn_attempts=0, turn_claimed_at=None)
    assert world.runtime.status(game).orders_closed and not world.table.halts
    world.engines.failure = None
    pass_time(world, delay)
    await made(world, game, 1)


async def test_a_forced_turn_that_fails_fails_its_operation(world: Any) -> None:
    """The operation ends with the game's quarantine, and names the failure."""
    _broken(world, _failing)
    game = await world.playing()
    await force(world, game)
    for attempt, delay in enumerate(AFTER_EACH, start=1):
        await shows(world, game, turn_attempts=attempt, turn_claimed_at=None)
        pass_time(world, delay)
    await shows(world, game, playing=False)
    rows = await world.rows("SELECT outcome, error_code FROM runtime_operation_log")
    assert rows == [("failed", "engine_error")]


async def test_a_turn_that_ends_its_process_reaches_its_limit(world: Any) -> None:
    """Three claims that nobody finished are three attempts: the fourth claim is none."""
    game = await world.playing(turn_attempts=3, due_at=None)
    await world.execute(
        "UPDATE runtime_records SET due_at = now(), orders_closed_at = now(), turn_claimed_at = now(),"
        " next_turn_at = now() WHERE game_id = :game",
        game=game,
    )
    pass_time(world, timedelta(seconds=1))
    await world.until(lambda: bool(world.table.halts))
    assert world.table.halts[0][1].code == "turn_unfinished"
    assert "tried 3 times" in world.table.halts[0][1].message


async def test_an_owner_that_raises_for_one_game_keeps_no_other_from_its_turn(world: Any) -> None:
    """Of 32 games due at once 31 go on; the one is tried again, and quarantined with a failure that names the owner."""
    games = [await world.playing() for _ in range(32)]
    unlucky = games[16]
    world.table.refuse = lambda position: KeyError("a bug") if position.game_id == unlucky else None
    pass_time(world, LONG)
    for game in games:
        if game != unlucky:
            await made(world, game, 1)
    await shows(world, unlucky, turn_attempts=1, turn_failure="owner_refused", turn_claimed_at=None)
    for attempt, delay in enumerate(AFTER_EACH, start=2):
        pass_time(world, delay)
        if attempt < 3:
            await shows(world, unlucky, turn_attempts=attempt, turn_claimed_at=None)
    await shows(world, unlucky, turn=0, playing=False)
    assert [game for game, _ in world.table.halts] == [unlucky]
    assert "engine_doubles refused the position" in world.table.halts[0][1].message
    assert len(world.table.made) == 31 and not told(world, unlucky)


async def test_an_owner_that_cannot_pause_a_game_is_asked_again(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quarantine and the owner's part are one: while it raises, neither is there."""
    _broken(world, _failing)
    game = await world.playing()
    refusals: list[int] = []
    halted = world.table.halted

    async def refuse(*arguments: Any) -> None:
        if len(refusals) < 2:
            refusals.append(len(refusals))
            raise RuntimeError
        await halted(*arguments)

    monkeypatch.setattr(world.table, "halted", refuse)
    pass_time(world, LONG)
    for attempt, delay in enumerate(AFTER_EACH, start=1):
        await shows(world, game, turn_attempts=attempt, turn_claimed_at=None)
        pass_time(world, delay)
    for refused in (1, 2):
        await world.until(lambda refused=refused: len(refusals) == refused)
        await shows(world, game, turn_attempts=3, playing=True, turn_claimed_at=None)
        pass_time(world, timedelta(seconds=26))
    await shows(world, game, playing=False)
    assert [failure.code for _, failure in world.table.halts] == ["engine_error"]


async def test_an_engine_that_is_gone_is_a_failed_attempt(world: Any) -> None:
    """A refused connection is the engine's failure, not the database's: it is suspected, and tried again soon."""
    game = await world.playing()
    await world.plugin.turns._runner._engines.open(game, timedelta(seconds=5))
    await world.engines.engines[game].stop()
    pass_time(world, LONG)
    await shows(world, game, turn_attempts=1, turn_claimed_at=None, turn_failure="engine_error")
    assert world.engines.suspected == [game]
