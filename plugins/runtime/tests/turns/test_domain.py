"""Decisions at deadlines and clocks after turns, held by properties."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from galaxy_contracts.runtime import Trigger
from galaxy_contracts.schedules import Schedule
from galaxy_contracts.turns import Postpone
from galaxy_kernel.api import new_id
from galaxy_runtime.domain import Seat, Seats
from galaxy_runtime.policies import Fixed
from galaxy_runtime.turns.domain import (
    Claimed,
    DueRecord,
    HeldRecord,
    Skip,
    Stopped,
    clock_after,
    count_missed,
    decide,
    seed_of,
)

NOW = datetime(2027, 3, 1, 18, tzinfo=UTC)
INTERVALS = st.timedeltas(timedelta(minutes=1), timedelta(days=3)).map(lambda interval: Schedule(interval=interval))
CRONS = st.sampled_from(
    [
        Schedule(cron="0 18 * * *", time_zone="Europe/Vienna"),
        Schedule(cron="30 2 * * *", time_zone="America/New_York"),
        Schedule(cron="0 */6 * * *", time_zone="UTC", at_least=timedelta(hours=3)),
    ]
)
SCHEDULES = st.one_of(INTERVALS, CRONS)
SEATS = st.lists(
    st.builds(Seat, name=st.just("x"), machine=st.booleans(), vacant=st.booleans(), missed_in_row=st.integers(0, 3)),
    min_size=1,
    max_size=8,
).map(lambda seats: dict(enumerate(seats, start=1)))


@st.composite
def due_records(draw: Any) -> DueRecord:
    """Records as the claim finds them."""
    seats: Seats = draw(SEATS)
    awaiting = tuple(sorted(draw(st.sets(st.sampled_from(sorted(seats))))))
    sent = tuple(sorted(draw(st.sets(st.sampled_from(sorted(seats))))))
    claimed = draw(st.booleans())
    late = draw(st.timedeltas(timedelta(0), timedelta(days=5)))
    return DueRecord(
        game_id=new_id(),
        image="double:1",
        turn=draw(st.integers(0, 100)),
        seats=seats,
        awaiting=awaiting,
        sent=sent,
        final=tuple(seat for seat in sent if draw(st.booleans())),
        phase=None,
        schedule=draw(SCHEDULES),
        anchor=NOW - timedelta(days=30),
        policy="fixed",
        policy_options={},
        trigger=draw(st.sampled_from([Trigger.SCHEDULED, Trigger.FORCED, Trigger.FINAL])),
        skip_next=draw(st.booleans()),
        next_turn_at=NOW - late,
        due_at=NOW - late if claimed else None,
        absent=tuple(seat for seat in awaiting if seat not in sent and not seats[seat].machine),
        made_at=NOW - timedelta(days=6),
        postponed=0,
        turn_lease=0,
        turn_attempts=draw(st.integers(0, 4)) if claimed else 0,
        turn_failure=None,
        turn_claimed_at=None,
        wanted="up",
        generation=1,
        address=None,
    )


@given(record=due_records())
def test_decide(record: DueRecord) -> None:
    """Exhausted turns stop; only an unclaimed scheduled tick is skipped, to one later than now; others run."""
    outcome = decide(record, Fixed(), NOW, 3)
    assert outcome == decide(record, Fixed(), NOW, 3)
    if record.claimed and record.turn_attempts >= 3:
        assert isinstance(outcome, Stopped)
    elif record.skip_next and record.trigger is Trigger.SCHEDULED and not record.claimed:
        assert isinstance(outcome, Skip) and outcome.tick.at > NOW
    else:
        assert isinstance(outcome, Claimed)
        assert set(outcome.absent) <= set(record.awaiting) - set(record.sent)
        assert not any(record.seats[seat].machine for seat in outcome.absent)


@given(record=due_records())
def test_no_policy_stops_only_what_a_policy_would_decide(record: DueRecord) -> None:
    """Whatever began, was forced or is final runs without the policy."""
    outcome = decide(record, None, NOW, 100)
    asked = not record.claimed and record.trigger is Trigger.SCHEDULED and not record.skip_next
    assert isinstance(outcome, Stopped) is asked


helds = st.builds(
    HeldRecord,
    game_id=st.just(new_id()),
    now=st.just(NOW),
    seats=SEATS,
    awaiting=st.just(()),
    trigger=st.sampled_from([Trigger.SCHEDULED, Trigger.FORCED, Trigger.FINAL]),
    schedule=SCHEDULES,
    anchor=st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda since: NOW - since),
    due_at=st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda late: NOW - late),
    skip_next=st.booleans(),
    suspended=st.booleans(),
    turn_lease=st.just(1),
)


@given(held=helds, finished=st.booleans())
def test_clock_after(held: HeldRecord, finished: bool) -> None:
    """The next tick is later than now and keeps `at_least`; people see the tick that runs; who ends has none."""
    clock, missed = clock_after(held, finished=finished)
    assert missed >= 0
    if finished or held.suspended:
        assert (clock.playing, clock.next_turn_at, clock.tick_at, clock.remind_at) == (False, None, None, None)
        assert (clock.ended, clock.skip_next) == (finished, False)
        return
    assert clock.next_turn_at is not None and clock.tick_at is not None
    assert clock.next_turn_at > NOW
    assert clock.next_turn_at >= NOW + (held.schedule.at_least or timedelta(0))
    assert (clock.tick_at > clock.next_turn_at) is clock.skip_next
    assert not clock.skip_next or (held.skip_next and not missed)
    if held.trigger is Trigger.FINAL and held.schedule.interval is not None:
        assert (clock.anchor, clock.tick_at) == (NOW, NOW + held.schedule.interval)
    else:
        assert clock.anchor == held.anchor


def test_a_game_that_begins_its_interval_again_skips_no_tick() -> None:
    """The tick that a forced turn replaced is gone with the grid that it was on."""
    held = HeldRecord(
        game_id=new_id(),
        now=NOW,
        seats={},
        awaiting=(),
        trigger=Trigger.FINAL,
        schedule=Schedule(interval=timedelta(hours=6)),
        anchor=NOW - timedelta(hours=7),
        due_at=NOW - timedelta(hours=1),
        skip_next=True,
        suspended=False,
        turn_lease=1,
    )
    clock, missed = clock_after(held, finished=False)
    due = NOW + timedelta(hours=6)
    assert (clock.skip_next, clock.next_turn_at, clock.tick_at, missed) == (False, due, due, 0)


@given(seats=SEATS, data=st.data())
def test_count_missed(seats: Seats, data: st.DataObject) -> None:
    """Only awaited seats of scheduled turns change: one more for the absent, none for the others."""
    awaiting = data.draw(st.sets(st.sampled_from(sorted(seats))))
    absent = data.draw(st.sets(st.sampled_from(sorted(awaiting)))) if awaiting else set()
    assert count_missed(seats, tuple(awaiting), tuple(absent), Trigger.FORCED) == seats
    after = count_missed(seats, tuple(awaiting), tuple(absent), Trigger.SCHEDULED)
    for number, seat in seats.items():
        expected = seat.missed_in_row + 1 if number in absent else 0 if number in awaiting else seat.missed_in_row
        assert after[number] == msgspec.structs.replace(seat, missed_in_row=expected)


def test_seeds_differ_by_game_turn_and_epoch() -> None:
    """A roll-back has other dice, a repetition the same."""
    one, two = new_id(), new_id()
    seeds = [seed_of(b"s", game, turn, epoch) for game in (one, two) for turn in (0, 1) for epoch in (0, 1)]
    assert len(set(seeds)) == 8 and seeds[0] == seed_of(b"s", one, 0, 0)


def test_a_tick_that_passed_while_a_forced_turn_ran_is_not_skipped_twice() -> None:
    """Forced at 17:59 and done at 18:01: the tick of 18:00 is gone, and the next one runs."""
    held = HeldRecord(
        game_id=new_id(),
        now=NOW + timedelta(minutes=1),
        seats={},
        awaiting=(),
        trigger=Trigger.FORCED,
        schedule=Schedule(cron="0 18 * * *", time_zone="UTC"),
        anchor=NOW,
        due_at=NOW - timedelta(minutes=1),
        skip_next=True,
        suspended=False,
        turn_lease=1,
    )
    clock, missed = clock_after(held, finished=False)
    assert (clock.skip_next, missed, clock.tick_at) == (False, 1, NOW + timedelta(days=1))


def test_a_postponement_is_not_lost_on_the_way() -> None:
    """What a policy decides within its rules is what is done."""

    class Later(Fixed):
        def decide(self, situation: Any) -> Any:
            return Postpone(situation.now + timedelta(days=1))

    record = DueRecord(
        game_id=new_id(),
        image="double:1",
        turn=1,
        seats={1: Seat(name="x")},
        awaiting=(1,),
        sent=(),
        final=(),
        phase=None,
        schedule=Schedule(interval=timedelta(days=1)),
        anchor=NOW,
        policy="later",
        policy_options={},
        trigger=Trigger.SCHEDULED,
        skip_next=False,
        next_turn_at=NOW,
        due_at=None,
        absent=(1,),
        made_at=None,
        postponed=0,
        turn_lease=0,
        turn_attempts=0,
        turn_failure=None,
        turn_claimed_at=None,
        wanted="up",
        generation=1,
        address=None,
    )
    assert decide(record, Later(), NOW, 3) == Postpone(NOW + timedelta(days=1))
