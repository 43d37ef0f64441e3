"""What a position changes, as a pure function."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from galaxy_contracts.runtime import PositionMade, Trigger
from galaxy_lobby.domain import Game, Membership
from galaxy_lobby.positions.domain import UnexpectedPositionError, apply

NOW = datetime(2030, 1, 1, tzinfo=UTC)
GAME = Game(
    id=UUID(int=1),
    owner_id=UUID(int=2),
    name="Andromeda",
    visibility="public",
    engine_version_id=UUID(int=3),
    min_players=1,
    max_players=3,
    enrolled=3,
    schedule={"interval": "1d"},
    run_when_final=False,
    state="running",
    pause_reason=None,
    failure=None,
    turn=6,
    next_turn_at=NOW,
    phase=None,
    awaiting=(1, 2, 3),
    idle_turns=0,
    version=1,
    created_at=NOW,
    started_at=NOW,
    state_changed_at=NOW,
    finished_at=None,
)


def member(seat: int, **changed: Any) -> Membership:
    found = Membership(
        id=UUID(int=100 + seat),
        game_id=GAME.id,
        account_id=UUID(int=10 + seat),
        seat=seat,
        state="playing",
        name=f"P{seat}",
        machine=False,
        joined_at=NOW,
        missed=0,
        missed_in_row=0,
        seen_turn=-1,
    )
    return replace(found, **changed)


def machine(seat: int) -> Membership:
    return member(seat, machine=True, account_id=None)


def position(**changed: Any) -> PositionMade:
    made = PositionMade(game_id=GAME.id, turn=7, trigger=Trigger.SCHEDULED, awaiting=(1, 2, 3), next_turn_at=NOW)
    return replace(made, **changed)


def accounts(*seats: int) -> tuple[UUID, ...]:
    return tuple(UUID(int=10 + seat) for seat in seats)


PLAYERS = [member(1), member(2), member(3)]


def test_absence_counts_at_deadlines_alone() -> None:
    """A forced turn is nobody's fault, an early one has no absent; orders end a row of missed turns."""
    members = [member(1, missed=4, missed_in_row=2), *PLAYERS[1:]]
    late = apply(GAME, members, position(absent=(1,)), NOW, 10)
    assert [(each.missed, each.missed_in_row) for each in late.changed] == [(5, 3)]
    assert late.missed == accounts(1)
    forced = apply(GAME, members, position(absent=(1,), trigger=Trigger.FORCED), NOW, 10)
    assert (forced.changed, forced.missed) == ((), ())
    sent = apply(GAME, members, position(trigger=Trigger.FINAL), NOW, 10)
    assert [(each.missed, each.missed_in_row) for each in sent.changed] == [(4, 0)]


def test_who_was_not_awaited_missed_nothing() -> None:
    """Seats of other phases, eliminated ones and machines are never counted, whatever the runtime says."""
    members = [member(1), member(2, state="eliminated"), machine(3)]
    outcome = apply(replace(GAME, awaiting=(2, 3)), members, position(absent=(1, 2, 3)), NOW, 10)
    assert (outcome.changed, outcome.missed) == ((), ())


def test_whose_orders_made_the_turn_run_is_not_told() -> None:
    """Everybody awaited is, but for the seat that was final last; forced and scheduled turns leave out nobody."""
    final = apply(GAME, PLAYERS, position(trigger=Trigger.FINAL, final_seat=2, awaiting=(1, 2)), NOW, 10)
    assert final.ready == accounts(1)
    assert apply(GAME, PLAYERS, position(final_seat=2), NOW, 10).ready == accounts(1, 2, 3)


def test_elimination_is_told_once() -> None:
    """Who is out is out since the turn that says so first, and is not told of turns any more."""
    members = [member(1, state="eliminated"), *PLAYERS[1:]]
    outcome = apply(GAME, members, position(eliminated=(1, 2)), NOW, 10)
    assert (outcome.eliminated, outcome.ready) == (accounts(2), accounts(3))
    assert [each.state for each in outcome.changed] == ["eliminated"]


def test_the_end_ends_everything() -> None:
    """All parts are finished, nobody awaits anything, and who is out by the last turn hears of the end alone."""
    outcome = apply(GAME, PLAYERS, position(finished=True, eliminated=(1,), result={"winner": 2}), NOW, 10)
    assert (outcome.game.state, outcome.game.next_turn_at, outcome.game.finished_at) == ("finished", None, NOW)
    assert {each.state for each in outcome.changed} == {"finished"}
    assert (outcome.ready, outcome.eliminated, outcome.result) == ((), (), {"winner": 2})
    assert outcome.members == accounts(1, 2, 3)


def test_a_pause_outlives_a_turn_that_was_running() -> None:
    """The position counts, the game stays paused without a deadline; the end goes before the pause."""
    paused = replace(GAME, state="paused", pause_reason="owner")
    outcome = apply(paused, PLAYERS, position(), NOW, 10)
    assert (outcome.game.state, outcome.game.pause_reason, outcome.game.turn) == ("paused", "owner", 7)
    assert (outcome.game.next_turn_at, outcome.ready) == (None, accounts(1, 2, 3))
    over = apply(paused, PLAYERS, position(finished=True), NOW, 10).game
    assert (over.state, over.pause_reason) == ("finished", None)


def test_an_abandoned_game_is_paused() -> None:
    """After so many scheduled turns without anybody's orders; one who sends begins the count again."""
    idle = replace(GAME, idle_turns=9)
    outcome = apply(idle, PLAYERS, position(absent=(1, 2, 3)), NOW, 10)
    assert (outcome.game.state, outcome.game.pause_reason, outcome.abandoned) == ("paused", "abandoned", True)
    assert (outcome.ready, outcome.game.next_turn_at) == ((), None)
    assert apply(idle, PLAYERS, position(absent=(1, 2)), NOW, 10).game.idle_turns == 0
    forced = apply(idle, PLAYERS, position(absent=(1, 2, 3), trigger=Trigger.FORCED), NOW, 10)
    assert (forced.game.idle_turns, forced.abandoned) == (9, False)


def test_a_turn_of_machines_says_nothing_of_people() -> None:
    """It counts as idle only where no person is left."""
    members = [member(1), machine(2)]
    theirs = replace(GAME, awaiting=(2,))
    assert apply(theirs, members, position(), NOW, 10).game.idle_turns == 0
    assert apply(theirs, [machine(2)], position(), NOW, 10).game.idle_turns == 1
    assert apply(GAME, [member(1, state="eliminated"), machine(2)], position(), NOW, 10).game.idle_turns == 1


@pytest.mark.parametrize("state", ["draft", "enrolling", "ready", "start_failed", "finished", "cancelled"])
def test_games_that_take_no_positions(state: Any) -> None:
    """A position of one is an error that names game and state."""
    with pytest.raises(UnexpectedPositionError, match=f"{GAME.id} is {state}"):
        apply(replace(GAME, state=state), PLAYERS, position(), NOW, 10)


SEATS = st.sets(st.integers(1, 5)).map(lambda seats: tuple(sorted(seats)))
MEMBERS = st.lists(st.sampled_from(["playing", "eliminated", "machine"]), max_size=5).map(
    lambda kinds: [machine(n) if kind == "machine" else member(n, state=kind) for n, kind in enumerate(kinds, start=1)]
)


@given(
    members=MEMBERS,
    awaited=SEATS,
    absent=SEATS,
    awaiting=SEATS,
    eliminated=SEATS,
    finished=st.booleans(),
    trigger=st.sampled_from([Trigger.SCHEDULED, Trigger.FORCED, Trigger.FINAL]),
)
def test_whatever_the_runtime_says(
    members: list[Membership],
    awaited: Any,
    absent: Any,
    awaiting: Any,
    eliminated: Any,
    finished: bool,
    trigger: Trigger,
) -> None:
    """Nobody is told who does not play, nobody misses a turn that did not await them, and only the end ends parts."""
    made = position(absent=absent, awaiting=awaiting, eliminated=eliminated, finished=finished, trigger=trigger)
    outcome = apply(replace(GAME, awaiting=awaited), members, made, NOW, 10)
    playing = {each.account_id for each in members if each.state == "playing" and not each.machine}
    assert {*outcome.ready, *outcome.missed, *outcome.eliminated} <= playing
    assert not set(outcome.ready) & set(outcome.eliminated)
    assert set(outcome.missed) <= set(accounts(*(set(awaited) & set(absent))))
    states = {each.id: each.state for each in outcome.changed}
    assert all((states.get(each.id) == "finished") is finished for each in members)
    assert outcome.game.ended is finished
    assert (outcome.game.next_turn_at is None) is (outcome.game.state != "running")
