"""What a turn is made of, and what is decided at a deadline. No I/O."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import Trigger
from galaxy_contracts.schedules import Schedule
from galaxy_contracts.turns import Halt, Postpone, Run, SeatAtDeadline, Situation, TurnPolicy
from galaxy_runtime.domain import Seats
from galaxy_runtime.schedules import Tick, next_tick

LEASE = timedelta(seconds=15)
"""How long a claim holds without being renewed."""
RETRY_DELAYS = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=25))
"""Between a failed attempt at a turn and the next."""


class DueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A game whose turn is due, as the claim reads it under its row's lock."""

    game_id: UUID
    turn: int
    epoch: int
    seats: Seats
    awaiting: tuple[int, ...]
    phase: str | None
    schedule: Schedule
    anchor: datetime
    policy: str
    policy_options: Mapping[str, object]
    trigger: Trigger
    skip_next: bool
    next_turn_at: datetime
    due_at: datetime | None
    """The deadline, while a claim's lease stands in `next_turn_at`."""
    made_at: datetime | None
    postponed: int
    turn_attempts: int
    sent: Mapping[int, bool]
    """Seats with orders for this turn: whether they are final."""

    @property
    def deadline(self) -> datetime:
        """When the turn was due."""
        return self.due_at or self.next_turn_at

    @property
    def claimed(self) -> bool:
        """Whether it was claimed before, by whoever did not finish it."""
        return self.due_at is not None


class Skip(msgspec.Struct, frozen=True):
    """The tick that a forced turn has replaced does nothing."""

    tick: Tick


class Claimed(msgspec.Struct, frozen=True):
    """The turn runs, with these seats absent."""

    absent: tuple[int, ...]


Due = Skip | Claimed | Postpone | Halt


def decide(record: DueRecord, policy: TurnPolicy | None, now: datetime) -> Due:
    """Return the outcome for a game whose time has come.

    A turn that was claimed before, forced, or triggered by final orders runs whatever its policy says: a policy
    decides at deadlines alone, and once.
    """
    if record.skip_next and record.trigger is Trigger.SCHEDULED and not record.claimed:
        return Skip(
            next_tick(record.schedule, anchor=record.anchor, now=now, due=record.next_turn_at, made_at=record.made_at)
        )
    if record.claimed or record.trigger is not Trigger.SCHEDULED:
        return Claimed(absent_of(record))
    if policy is None:
        return Halt(f"the turn policy {record.policy!r} is not installed")
    decision = policy.decide(situation_of(record, now))
    return Claimed(decision.absent) if isinstance(decision, Run) else decision


def absent_of(record: DueRecord) -> tuple[int, ...]:
    """Return the awaited seats that have sent nothing; the engine's own are never absent."""
    return tuple(seat for seat in record.awaiting if seat not in record.sent and not record.seats[seat].machine)


def situation_of(record: DueRecord, now: datetime) -> Situation:
    """Return what a policy is asked with."""
    return Situation(
        now=now,
        due_at=record.deadline,
        turn=record.turn,
        phase=record.phase,
        seats=tuple(_at_deadline(record, seat) for seat in record.awaiting),
        postponed=record.postponed,
        options=record.policy_options,
    )


def _at_deadline(record: DueRecord, number: int) -> SeatAtDeadline:
    seat = record.seats[number]
    return SeatAtDeadline(
        seat=number,
        sent=seat.machine or number in record.sent,
        final=seat.machine or record.sent.get(number, False),
        vacant=seat.vacant,
        machine=seat.machine,
        missed_in_row=seat.missed_in_row,
        allowance_used=seat.allowance_used,
    )


def seed_of(secret: bytes, game_id: UUID, turn: int, epoch: int) -> str:
    """Return a turn's seed: unpredictable for players, repeatable for operators, new after a roll-back."""
    return hmac.digest(secret, f"{game_id}/{turn}/{epoch}".encode(), hashlib.sha256).hex()


def all_final(seats: Seats, awaiting: Sequence[int], final: Mapping[int, bool]) -> bool:
    """Whether a game that runs when all are final runs now: each awaited seat with a player, and there is one."""
    waited_for = [seat for seat in awaiting if seats[seat].played]
    return bool(waited_for) and all(final.get(seat, False) for seat in waited_for)


def count_missed(seats: Seats, awaiting: Sequence[int], absent: Sequence[int], trigger: Trigger) -> Seats:
    """Return the seats after a turn: who was absent at a deadline has missed one more, who sent has missed none."""
    if trigger is not Trigger.SCHEDULED:
        return seats
    missed = set(absent)
    return {
        number: msgspec.structs.replace(seat, missed_in_row=seat.missed_in_row + 1 if number in missed else 0)
        if number in awaiting
        else seat
        for number, seat in seats.items()
    }
