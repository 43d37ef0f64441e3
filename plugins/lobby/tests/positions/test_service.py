"""What the runtime tells of games, inside its transactions."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from galaxy_contracts.runtime import Failure, PositionMade, Trigger
from galaxy_lobby.positions.domain import UnexpectedPositionError


async def test_a_game_without_players_is_paused(make_world: Any) -> None:
    """After so many scheduled turns without orders the clock stops; its owner has it go on, with a fresh count."""
    world = await make_world(abandon_after="3")
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    for _ in range(2):
        await world.position(game)
    assert (await world.show(ada, game))["state"] == "running"
    await world.position(game)
    shown = await world.show(ada, game)
    assert (shown["state"], shown["pause_reason"], shown["next_turn_at"]) == ("paused", "abandoned", None)
    assert world.runtime.records[UUID(game)].playing is False
    assert world.told("paused") == [("paused", {"Ada", "Bob"})]
    await world.do(ada, "POST", f"/{game}/resume")
    for _ in range(2):
        await world.position(game)
    assert (await world.show(ada, game))["state"] == "running"


async def test_the_missed_are_told_and_counted(world: Any) -> None:
    """Who sent nothing by the deadline hears of that turn, once, and it is shown."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.send(ada, game)
    await world.position(game)
    assert world.told("turn_missed") == [("turn_missed", {"Bob"})]
    assert world.payload("turn_missed")["turn"] == 0
    assert {each["name"]: each["missed"] for each in (await world.show(ada, game))["seats"]} == {"Ada": 0, "Bob": 1}


async def test_a_position_told_twice_tells_players_once(world: Any) -> None:
    """Whoever takes a turn up after a crash makes the same position under the same keys."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    made = await world.position(game, eliminated=[await world.seat(bob, game)])
    before = world.told()
    async with world.database.transaction() as connection:
        await world.runtime.table.position_made(connection, made)
    assert world.told() == before


async def test_positions_of_several_games_are_noted_together(world: Any) -> None:
    """A set of games, one of them finished, one paused, is written and told as one by one."""
    ada, bob = world.account("Ada"), world.account("Bob")
    games = [await world.running(ada, ada, bob) for _ in range(4)]
    await world.do(ada, "POST", f"/{games[1]}/pause")

    def made(game: str, **changed: Any) -> PositionMade:
        due = world.clock.now() + timedelta(days=1)
        given = {"awaiting": (1, 2), "next_turn_at": due, "trigger": Trigger.SCHEDULED, "absent": (1,), **changed}
        return PositionMade(game_id=UUID(game), turn=1, **given)

    positions = [made(games[0]), made(games[1]), made(games[2], finished=True, awaiting=(), result={"won": [2]})]
    async with world.database.transaction() as connection:
        await world.runtime.table.positions_made(connection, positions)
    shown = [await world.show(ada, game) for game in games]
    assert [(each["state"], each["turn"]) for each in shown] == [
        ("running", 1),
        ("paused", 1),
        ("finished", 1),
        ("running", 0),
    ]
    assert shown[2]["result"] == {"won": [2]}
    assert [len(world.told("turn_ready", game)) for game in games] == [2, 2, 1, 1]
    assert [len(world.told("finished", game)) for game in games] == [0, 0, 1, 0]
    assert [each["total"] for each in [await world.do(ada, "GET", "")]] == [3]


async def test_one_game_that_is_not_there_spoils_the_set(world: Any) -> None:
    """Nothing of the set is noted: the runtime notes them one by one, and that game's part alone fails."""
    ada = world.account("Ada")
    game = await world.running(ada, ada)
    other = await world.opened(ada)
    good = PositionMade(game_id=UUID(game), turn=1, trigger=Trigger.SCHEDULED, awaiting=(1,))
    for bad in (UUID(other), UUID(int=7)):
        wrong = PositionMade(game_id=bad, turn=1, trigger=Trigger.SCHEDULED, awaiting=(1,))
        with pytest.raises(UnexpectedPositionError):
            async with world.database.transaction() as connection:
                await world.runtime.table.positions_made(connection, [good, wrong])
    assert (await world.show(ada, game))["turn"] == 0
    async with world.database.transaction() as connection:
        await world.runtime.table.position_made(connection, good)
    assert (await world.show(ada, game))["turn"] == 1


async def test_deadlines_that_move_are_told(world: Any) -> None:
    """A policy, or a time without a backend, moves a deadline: everybody hears the new time and why."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    until = world.clock.now() + timedelta(days=3)
    async with world.database.transaction() as connection:
        await world.runtime.move(connection, UUID(game), until, "x" * 500)
    assert world.told("postponed") == [("postponed", {"Ada", "Bob"})]
    told = world.payload("postponed")
    assert (told["next_turn_at"], told["by_owner"], len(told["reason"])) == (until, False, 200)
    assert (await world.show(ada, game))["next_turn_at"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_the_reminder_goes_to_who_has_sent_nothing_once_a_turn(world: Any) -> None:
    """However often the runtime asks, a seat is reminded once for each turn."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.send(ada, game)
    for _ in range(2):
        async with world.database.transaction() as connection:
            await world.runtime.remind(connection, UUID(game))
    assert world.told("deadline_near") == [("deadline_near", {"Bob"})]
    assert world.payload("deadline_near")["next_turn_at"] == world.clock.now() + timedelta(days=1)
    await world.position(game)
    async with world.database.transaction() as connection:
        await world.runtime.remind(connection, UUID(game))
    assert world.told("deadline_near")[1:] == [("deadline_near", {"Ada", "Bob"})]


async def test_quarantine_keeps_an_operators_pause(world: Any) -> None:
    """A turn that was running when an operator paused may still fail: the pause stays the operator's."""
    ada = world.account("Ada")
    game = await world.running(ada, ada)
    await world.ask("POST", f"/api/v1/admin/games/{game}/pause")
    async with world.database.transaction() as connection:
        await world.runtime.halt(connection, UUID(game), Failure("engine_invalid", "nonsense"))
    shown = await world.show(ada, game)
    assert (shown["pause_reason"], shown["failure"]) == ("operator", "engine_invalid")


@pytest.mark.parametrize("call", ["start_failed", "halted", "postponed", "deadline_near"])
async def test_news_of_a_game_in_another_state_is_an_error(world: Any, call: str) -> None:
    """What cannot be is refused, and changes nothing."""
    ada = world.account("Ada")
    game = UUID(await world.opened(ada))
    arguments = {
        "start_failed": (Failure("pull_failed", "no"),),
        "halted": (Failure("engine_error", "no"),),
        "postponed": (world.clock.now(), "why"),
        "deadline_near": (1, [1]),
    }[call]
    with pytest.raises(UnexpectedPositionError, match="is enrolling"):
        async with world.database.transaction() as connection:
            await getattr(world.runtime.table, call)(connection, game, *arguments)
    assert world.told() == []
