"""Turn policies: the laws that every registered one keeps, and what `fixed` decides."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_contracts.turns import LONGEST_POSTPONEMENT, Halt, Postpone, Run, SeatAtDeadline, Situation, TurnPolicy
from galaxy_runtime.policies import Fixed, Policies

NOW = datetime(2027, 3, 1, 18, tzinfo=UTC)
REGISTERED = Policies()

seats = st.builds(
    SeatAtDeadline,
    seat=st.integers(1, 8),
    sent=st.booleans(),
    final=st.booleans(),
    vacant=st.booleans(),
    machine=st.booleans(),
    missed_in_row=st.integers(0, 20),
    allowance_used=st.integers(0, 5),
    away_until=st.none() | st.just(NOW + timedelta(days=3)),
)
situations = st.builds(
    Situation,
    now=st.just(NOW),
    due_at=st.timedeltas(timedelta(0), timedelta(days=2)).map(lambda late: NOW - late),
    turn=st.integers(0, 100),
    phase=st.none() | st.just("retreats"),
    seats=st.lists(seats, max_size=8, unique_by=lambda seat: seat.seat).map(tuple),
    postponed=st.integers(0, 3),
    options=st.just({}),
)


def policies() -> list[TurnPolicy]:
    found = [REGISTERED.find(name) for name in REGISTERED.names()]
    return [policy for policy in found if policy is not None]


@pytest.mark.parametrize("policy", policies(), ids=REGISTERED.names())
@given(situation=situations)
def test_laws(policy: TurnPolicy, situation: Situation) -> None:
    """Pure; bounded postponement; only awaited seats that sent nothing are absent; it comes to an end."""
    for _ in range(100):
        decision = policy.decide(situation)
        assert decision == policy.decide(situation)
        if isinstance(decision, Postpone):
            assert situation.now < decision.until <= situation.now + LONGEST_POSTPONEMENT
            assert set(decision.spent) <= {seat.seat for seat in situation.seats}
            situation = msgspec.structs.replace(
                situation, now=decision.until, due_at=decision.until, postponed=situation.postponed + 1
            )
            continue
        if isinstance(decision, Run):
            assert set(decision.absent) <= {seat.seat for seat in situation.seats if not seat.sent}
        else:
            assert isinstance(decision, Halt) and decision.reason
        return
    pytest.fail("it postpones for ever")


def test_fixed_runs_whoever_has_sent() -> None:
    """Saved orders count though they are not final; a machine is never absent, a vacant seat is."""
    situation = Situation(
        now=NOW,
        due_at=NOW,
        turn=3,
        phase=None,
        seats=(
            SeatAtDeadline(seat=1, sent=True, final=False),
            SeatAtDeadline(seat=2, sent=False, final=False),
            SeatAtDeadline(seat=3, sent=False, final=False, machine=True),
            SeatAtDeadline(seat=4, sent=False, final=False, vacant=True),
        ),
        postponed=0,
        options={},
    )
    assert Fixed().decide(situation) == Run((2, 4))


def test_a_name_is_registered_once() -> None:
    """Whoever brings a second `fixed` is told to rename it."""
    with pytest.raises(ValueError, match="'fixed' is registered twice"):
        Policies().register(Fixed())
