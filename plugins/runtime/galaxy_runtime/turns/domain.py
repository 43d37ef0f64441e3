"""What a turn is made of, what is decided at a deadline, and how a game's clock goes on after a turn. No I/O."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import Failure, Trigger
from galaxy_contracts.schedules import Schedule
from galaxy_contracts.turns import (
    LONGEST_POSTPONEMENT,
    Decision,
    Halt,
    Postpone,
    Run,
    SeatAtDeadline,
    Situation,
    TurnPolicy,
)
from galaxy_runtime.domain import Seat, Seats
from galaxy_runtime.records.domain import remind_at
from galaxy_runtime.schedules import Tick, next_tick

LEASE = timedelta(seconds=14)
"""How long a claim holds without being renewed.

Other replicas look at the clock again within `INTERVAL`, which is a second, whatever wake-up got lost: so what a killed
process had claimed is claimed again within 15 s (SPEC S-18).
"""
INTERVAL = timedelta(seconds=1)
"""Longest wait between two looks for turns that are due: so late is one whose wake-up got lost."""
RETRY_DELAYS = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=25))
"""Between a failed attempt at a turn and the next."""
POLICY_FAILED = "policy_failed"
"""The policy is not installed, raised, or broke its rules."""
POLICY_HALTED = "policy_halted"
"""The policy decided that the game pauses: nothing failed."""
TURN_UNFINISHED = "turn_unfinished"
"""Each attempt was begun, and ended with its process."""


class DueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A game whose turn is due, as the claim reads it under its row's lock."""

    game_id: UUID
    image: str
    turn: int
    seats: Seats
    awaiting: tuple[int, ...]
    sent: tuple[int, ...]
    final: tuple[int, ...]
    phase: str | None
    schedule: Schedule
    anchor: datetime
    policy: str
    policy_options: Mapping[str, Any]
    trigger: Trigger
    skip_next: bool
    next_turn_at: datetime
    due_at: datetime | None
    """The deadline, while a claim's lease stands in `next_turn_at`."""
    absent: tuple[int, ...]
    """As decided at the turn's first claim; before it, who is awaited and has sent nothing."""
    made_at: datetime | None
    postponed: int
    turn_lease: int
    turn_attempts: int
    turn_failure: str | None
    turn_claimed_at: datetime | None
    wanted: str
    generation: int
    """Of its engine."""
    address: str | None
    """Of the engine of this generation, where it is healthy."""

    @property
    def deadline(self) -> datetime:
        """When the turn was due."""
        return self.due_at or self.next_turn_at

    @property
    def claimed(self) -> bool:
        """Whether it was claimed before, by whoever did not finish it."""
        return self.due_at is not None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed turn: what it commits holds only for this lease."""

    game_id: UUID
    turn: int
    lease: int
    attempt: int
    """From 1: of this turn."""
    claimed_at: datetime
    due_at: datetime
    failure: str | None
    """Of the attempt before."""
    image: str

    @classmethod
    def of(cls, due: DueRecord, now: datetime) -> "Claim":
        """Return the claim of a locked game at `now`, as the statement makes it."""
        return cls(
            game_id=due.game_id,
            turn=due.turn,
            lease=due.turn_lease + 1,
            attempt=due.turn_attempts + 1,
            claimed_at=now,
            due_at=due.deadline,
            failure=due.turn_failure,
            image=due.image,
        )

    @property
    def key(self) -> tuple[UUID, int]:
        """The row and its fencing number."""
        return self.game_id, self.lease


class InputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a claimed turn is computed from, but for the state."""

    game_id: UUID
    turn: int
    epoch: int
    seats: Seats
    awaiting: tuple[int, ...]
    absent: tuple[int, ...] | None
    seed: str
    """As PostgreSQL writes bytes in JSON: `\\x` and hexadecimal digits."""
    trigger: Trigger
    final_seat: int | None
    order_lease: float | None
    """Seconds for which the engine's memory may still be used for orders."""
    orders: tuple[tuple[int, str], ...]
    """Seats, with their sets."""

    @property
    def sets(self) -> dict[int, bytes]:
        """The stored sets, by seat."""
        return {seat: text.encode() for seat, text in self.orders}

    @property
    def secret(self) -> bytes:
        """What the turn's seed is made from."""
        return bytes.fromhex(self.seed.removeprefix("\\x"))


class Skip(msgspec.Struct, frozen=True):
    """The tick that a forced turn has replaced does nothing."""

    tick: Tick


class Claimed(msgspec.Struct, frozen=True):
    """The turn runs, with these seats absent."""

    absent: tuple[int, ...]


class Stopped(msgspec.Struct, frozen=True):
    """The game's clock stops, and its owner pauses it."""

    failure: Failure


Due = Skip | Claimed | Postpone | Stopped


def decide(record: DueRecord, policy: TurnPolicy | None, now: datetime, attempts: int) -> Due:
    """Return the outcome for a game whose time has come; a turn is tried `attempts` times.

    A turn that was claimed before, forced, or triggered by final orders runs whatever its policy says: a policy
    decides at deadlines alone, and once.
    """
    if record.claimed and record.turn_attempts >= attempts:
        return Stopped(_unfinished(record))
    if record.claimed or record.trigger is not Trigger.SCHEDULED:
        return Claimed(record.absent)
    if record.skip_next:
        return Skip(
            next_tick(record.schedule, anchor=record.anchor, now=now, due=record.next_turn_at, made_at=record.made_at)
        )
    return _by_policy(record, policy, now)


def _unfinished(record: DueRecord) -> Failure:
    message = f"turn {record.turn} of game {record.game_id} was tried {record.turn_attempts} times and never finished"
    return Failure(record.turn_failure or TURN_UNFINISHED, message)


def _by_policy(record: DueRecord, policy: TurnPolicy | None, now: datetime) -> Due:
    if policy is None:
        return Stopped(Failure(POLICY_FAILED, f"the turn policy {record.policy!r} is not installed"))
    situation = situation_of(record, now)
    try:
        decision = policy.decide(situation)
        fault = fault_of(decision, situation)
    except Exception as error:  # of another plugin: pure, so that asking again would give the same
        return Stopped(Failure(POLICY_FAILED, f"the turn policy {record.policy!r} failed: {type(error).__name__}"))
    if fault is not None:
        return Stopped(Failure(POLICY_FAILED, f"the turn policy {record.policy!r} broke its rules: {fault}"))
    if isinstance(decision, Halt):
        return Stopped(Failure(POLICY_HALTED, decision.reason))
    return Claimed(decision.absent) if isinstance(decision, Run) else decision


def fault_of(decision: Decision, situation: Situation) -> str | None:
    """Return in what a policy's decision breaks the laws of policies."""
    if isinstance(decision, Run):
        silent = [each.seat for each in situation.seats if not each.sent]
        return (
            None
            if all(seat in silent for seat in decision.absent)
            else "a seat is absent that sent orders, or is not awaited"
        )
    if isinstance(decision, Postpone):
        if not situation.now < decision.until <= situation.now + LONGEST_POSTPONEMENT:
            return f"it postponed to {decision.until}"
        if not set(decision.spent) <= {each.seat for each in situation.seats}:
            return "it charged a seat that is not awaited"
    return None


def situation_of(record: DueRecord, now: datetime) -> Situation:
    """Return what a policy is asked with."""
    return Situation(
        now=now,
        due_at=record.deadline,
        turn=record.turn,
        phase=record.phase,
        seats=tuple([_at_deadline(record, seat) for seat in record.awaiting]),
        postponed=record.postponed,
        options=record.policy_options,
    )


def _at_deadline(record: DueRecord, number: int) -> SeatAtDeadline:
    seat = record.seats[number]
    return SeatAtDeadline(
        seat=number,
        sent=seat.machine or number in record.sent,
        final=seat.machine or number in record.final,
        vacant=seat.vacant,
        machine=seat.machine,
        missed_in_row=seat.missed_in_row,
        allowance_used=seat.allowance_used,
    )


def charge(seats: Seats, spent: Sequence[int]) -> Seats:
    """Return the seats after a postponement that is charged to some of them."""
    return {
        number: msgspec.structs.replace(seat, allowance_used=seat.allowance_used + (number in spent))
        for number, seat in seats.items()
    }


def seed_of(secret: bytes, game_id: UUID, turn: int, epoch: int) -> str:
    """Return a turn's seed: unpredictable for players, repeatable for operators, new after a roll-back."""
    return hmac.digest(secret, f"{game_id}/{turn}/{epoch}".encode(), hashlib.sha256).hex()


def count_missed(seats: Seats, awaiting: Sequence[int], absent: Sequence[int], trigger: Trigger) -> Seats:
    """Return the seats after a turn: who was absent at a deadline has missed one more, who sent has missed none."""
    if trigger is not Trigger.SCHEDULED:
        return seats
    return {
        number: _counted(seat, missed=number in absent) if number in awaiting else seat
        for number, seat in seats.items()
    }


def _counted(seat: Seat, *, missed: bool) -> Seat:
    in_row = seat.missed_in_row + 1 if missed else 0
    return seat if in_row == seat.missed_in_row else msgspec.structs.replace(seat, missed_in_row=in_row)


class HeldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A game whose turn is being committed, as its row is under its lock."""

    game_id: UUID
    now: datetime
    seats: Seats
    awaiting: tuple[int, ...]
    trigger: Trigger
    schedule: Schedule
    anchor: datetime
    due_at: datetime
    skip_next: bool
    suspended: bool
    """Whether it was suspended while the turn ran."""
    turn_lease: int


class NextClock(msgspec.Struct, frozen=True, kw_only=True):
    """A game's clock after a turn: columns of its record."""

    playing: bool
    ended: bool
    next_turn_at: datetime | None = None
    tick_at: datetime | None = None
    remind_at: datetime | None = None
    anchor: datetime
    skip_next: bool = False


def clock_after(held: HeldRecord, *, finished: bool) -> tuple[NextClock, int]:
    """Return how the clock goes on after a turn, and how many ticks were passed over.

    A turn that ran because all orders were final begins an interval's grid again. The tick that a forced turn replaces
    stays to be skipped, unless it passed while the turn ran; people see the one after it.
    """
    restarted = held.trigger is Trigger.FINAL and held.schedule.interval is not None
    anchor = held.now if restarted else held.anchor
    tick = next_tick(held.schedule, anchor=anchor, now=held.now, due=held.due_at, made_at=held.now)
    missed = 0 if restarted else tick.missed
    if finished or held.suspended:
        return NextClock(playing=False, ended=finished, anchor=anchor), missed
    skip, shown = held.skip_next and not restarted and not missed, tick.at
    if skip:
        shown = next_tick(held.schedule, anchor=anchor, now=tick.at, due=None, made_at=held.now).at
    clock = NextClock(
        playing=True,
        ended=False,
        next_turn_at=tick.at,
        tick_at=shown,
        remind_at=remind_at(held.now, shown),
        anchor=anchor,
        skip_next=skip,
    )
    return clock, missed
