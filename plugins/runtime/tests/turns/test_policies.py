"""What games' policies decide at deadlines is done with what their owners make of it."""

from datetime import timedelta
from typing import Any, ClassVar

import pytest
from aiohttp import web
from engine_doubles import DoubleEngine
from pydantic import BaseModel
from turn_play import LONG, force, made, pass_time, record, send, shows

from galaxy_contracts.runtime import Trigger
from galaxy_contracts.turns import Decision, Halt, Postpone, Run, Situation
from galaxy_runtime.policies import NoOptions


class Patient:
    """Postpone once, by an hour, while somebody is missing; then run without them."""

    name: ClassVar[str] = "patient"
    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self) -> None:
        self.situations: list[Situation] = []

    def decide(self, situation: Situation) -> Decision:
        self.situations.append(situation)
        absent = tuple(seat.seat for seat in situation.seats if not seat.sent)
        if absent and not situation.postponed:
            return Postpone(situation.now + timedelta(hours=1), spent=absent, reason="somebody is missing")
        return Run(absent)


class Scripted:
    """Decide what it is given."""

    name: ClassVar[str] = "scripted"
    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, decision: Any) -> None:
        self.decision = decision

    def decide(self, situation: Situation) -> Any:
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision(situation) if callable(self.decision) else self.decision


async def test_a_postponement_moves_the_deadline_and_tells_players(world: Any) -> None:
    """Orders stay open, the seats are charged, the grid moves along; the second deadline runs the turn."""
    policy = Patient()
    world.plugin._policies.register(policy)
    game = await world.playing(policy="patient")
    await send(world, game, 1, [], final=True)
    pass_time(world, LONG)
    await world.until(lambda: bool(world.table.moved))
    moved_game, until, reason = world.table.moved[0]
    assert (moved_game, reason) == (game, "somebody is missing")
    await shows(world, game, postponed=1, next_turn_at=until, tick_at=until, orders_closed_at=None, turn=0)
    assert await record(world, game, "anchor") == until - timedelta(days=1)
    assert world.runtime.status(game).next_turn_at == until
    assert (await record(world, game, "seats"))["2"]["allowance_used"] == 1
    pass_time(world, timedelta(hours=1, seconds=1))
    position = await made(world, game, 1)
    assert position.absent == (2,)
    assert [(each.turn, each.postponed) for each in policy.situations] == [(0, 0), (0, 1)]
    first, second = policy.situations
    assert [(seat.sent, seat.final, seat.allowance_used) for seat in first.seats] == [
        (True, True, 0),
        (False, False, 0),
    ]
    assert second.due_at == until and second.seats[1].allowance_used == 1
    assert await record(world, game, "postponed") == 0


async def test_forced_turns_are_not_decided_by_policies(world: Any) -> None:
    """A policy decides at deadlines, and nowhere else."""
    policy = Patient()
    world.plugin._policies.register(policy)
    game = await world.playing(policy="patient")
    await force(world, game)
    assert (await made(world, game, 1)).trigger is Trigger.FORCED
    assert policy.situations == []


async def test_who_is_absent_is_decided_once(world: Any) -> None:
    """The engine hears what the policy said, at the second attempt too."""
    world.plugin._policies.register(Scripted(Run((2,))))
    engine, heard = DoubleEngine(), []

    async def once(name: str, body: Any) -> web.StreamResponse | None:
        if name == "turns":
            heard.append(body["absent"])
        return web.json_response({}, status=500) if len(heard) == 1 else None

    engine.hook = once
    world.engines.make = lambda game_id: engine
    game = await world.playing(seats=3, policy="scripted")
    pass_time(world, LONG)
    await shows(world, game, turn_attempts=1, turn_claimed_at=None)
    pass_time(world, timedelta(seconds=1))
    assert (await made(world, game, 1)).absent == (2,)
    assert heard == [[2], [2]]


async def test_a_halt_pauses_the_game_and_is_not_a_failure(world: Any) -> None:
    """Its owner hears the reason; operators hear nothing."""
    world.plugin._policies.register(Scripted(Halt("everybody has left")))
    game = await world.playing(policy="scripted")
    pass_time(world, LONG)
    await shows(world, game, playing=False, turn=0)
    (_, failure) = world.table.halts[0]
    assert (failure.code, failure.message) == ("policy_halted", "everybody has left")
    assert world.fakes.notifications.intents == []


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (ZeroDivisionError(), "failed: ZeroDivisionError"),
        (Run((1,)), "a seat is absent that sent orders"),
        (Run((9,)), "a seat is absent that sent orders, or is not awaited"),
        (lambda situation: Postpone(situation.now), "it postponed to"),
        (lambda situation: Postpone(situation.now + timedelta(days=15)), "it postponed to"),
        (lambda situation: Postpone(situation.now + timedelta(days=1), spent=(9,)), "it charged a seat"),
    ],
    ids=["raises", "sent", "unknown seat", "now", "for long", "charges a stranger"],
)
async def test_a_policy_that_breaks_its_rules_stops_the_game(world: Any, decision: Any, said: str) -> None:
    """No rule is bent: the game is paused, and operators are told what the policy did."""
    world.plugin._policies.register(Scripted(decision))
    game = await world.playing(policy="scripted")
    await send(world, game, 1, [])
    pass_time(world, LONG)
    await shows(world, game, playing=False, turn=0)
    (_, failure) = world.table.halts[0]
    assert failure.code == "policy_failed" and said in failure.message
    assert len(world.fakes.notifications.intents) == 1


async def test_a_policy_that_is_not_installed_stops_the_game(world: Any) -> None:
    """Operators are told its name."""
    game = await world.playing(policy="gone")
    pass_time(world, LONG)
    await shows(world, game, playing=False)
    assert "'gone' is not installed" in world.table.halts[0][1].message


async def test_an_owner_that_raises_at_a_postponement_delays_its_game_alone(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is where it was, and looked at again; a game that is due with it runs."""
    world.plugin._policies.register(Patient())
    refused: list[int] = []
    postponed = world.table.postponed

    async def refuse(*arguments: Any) -> None:
        if not refused:
            refused.append(1)
            raise RuntimeError
        await postponed(*arguments)

    monkeypatch.setattr(world.table, "postponed", refuse)
    game, other = await world.playing(policy="patient"), await world.playing()
    tick = await record(world, game, "tick_at")
    pass_time(world, LONG)
    await made(world, other, 1)
    await shows(world, game, postponed=0, tick_at=tick, orders_closed_at=None)
    pass_time(world, timedelta(seconds=26))
    await shows(world, game, postponed=1)
    assert len(world.table.moved) == 1
