"""A game's clock, as its record keeps it: what each of its changes comes to. No I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import Trigger
from galaxy_contracts.schedules import Schedule
from galaxy_runtime.domain import Seats
from galaxy_runtime.schedules import is_tick, next_tick

SHORTEST_REMINDED = timedelta(hours=3)
"""Nobody is reminded of a turn that is shorter."""
_REMINDED_AHEAD = timedelta(hours=1)


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """What changes of a clock depend on, read under the record's lock."""

    game_id: UUID
    now: datetime
    """The database's time."""
    turn: int
    seats: Seats
    awaiting: tuple[int, ...]
    final: tuple[int, ...]
    run_when_final: bool
    schedule: Schedule
    anchor: datetime | None
    playing: bool
    ended: bool
    next_turn_at: datetime | None
    due_at: datetime | None
    tick_at: datetime | None
    trigger: str
    skip_next: bool
    remaining: timedelta | None
    made_at: datetime | None

    @property
    def due(self) -> bool:
        """Whether the turn's time has come, though nobody has claimed it yet; a tick that is skipped runs no turn."""
        skipped = self.skip_next and self.trigger == Trigger.SCHEDULED
        return self.next_turn_at is not None and self.next_turn_at <= self.now and not skipped

    @property
    def begun(self) -> bool:
        """Whether the turn is being adjudicated, or waits for another attempt."""
        return self.due_at is not None

    @property
    def all_final(self) -> bool:
        """Whether a game that runs when all orders are final runs now."""
        return self.run_when_final and all_final(self.seats, self.awaiting, self.final)


def all_final(seats: Seats, awaiting: tuple[int, ...], final: tuple[int, ...]) -> bool:
    """Whether each awaited seat with a player has final orders, and there is one such seat."""
    waited_for = {seat for seat in awaiting if seats[seat].played}
    return bool(waited_for) and waited_for <= set(final)


def remind_at(since: datetime, tick: datetime) -> datetime | None:
    """Return when to remind of a turn that lasts from `since` to `tick`: an hour, or a tenth of it, before its end."""
    length = tick - since
    return None if length < SHORTEST_REMINDED else tick - max(_REMINDED_AHEAD, length / 10)


def suspended(clock: ClockState) -> Mapping[str, Any]:
    """Return the columns of a clock that stops. A turn that has begun is finished first.

    What is left of an interval is kept; of a cron expression the tick that people were told, as the anchor. A forced
    turn does not run now, and replaces no tick: an anchor at the present has `resumed` find the next one of a cron
    expression. So a clock stops also where its time zone is unknown.
    """
    if clock.begun:
        return {"remaining": timedelta(0)}
    anchor, tick = clock.anchor, clock.tick_at
    if clock.trigger == Trigger.FORCED:
        tick = clock.now
        if clock.schedule.interval is not None:
            tick = next_tick(clock.schedule, anchor=anchor or clock.now, now=clock.now, due=None, made_at=None).at
    return {
        "playing": False,
        "next_turn_at": None,
        "tick_at": None,
        "remind_at": None,
        "skip_next": False,
        "trigger": "scheduled",
        "final_seat": None,
        "remaining": None if tick is None else max(tick - clock.now, timedelta(0)),
        "anchor": anchor if clock.schedule.cron is None else tick,
    }


def resumed(clock: ClockState) -> Mapping[str, Any]:
    """Return the columns of a clock that goes on: an interval has what was left of it.

    A cron expression has the tick that people were told before, where that is still to come, or else its next one. A
    game that runs when all orders are final runs at once if they are. Failures of turns and crashes of the engine are
    counted afresh.
    """
    if clock.begun:
        return {"remaining": None}
    if clock.schedule.interval is not None:
        tick = clock.now + (clock.schedule.interval if clock.remaining is None else clock.remaining)
        anchor = tick - clock.schedule.interval
    else:
        anchor = clock.anchor or clock.now
        following = next_tick(clock.schedule, anchor=anchor, now=clock.now, due=None, made_at=clock.made_at).at
        tick = max(anchor, following)
        anchor = clock.now if is_tick(clock.schedule, anchor, tick) else tick
    runs = {"next_turn_at": clock.now, "trigger": "final"} if clock.all_final else {"next_turn_at": tick}
    return {
        "playing": True,
        "tick_at": tick,
        "anchor": anchor,
        "remind_at": remind_at(clock.made_at or clock.now, tick),
        "remaining": None,
        "turn_attempts": 0,
        "turn_failure": None,
        "crashes": 0,
        "not_before": None,
        **runs,
    }


def moved(schedule: Schedule, until: datetime, now: datetime) -> dict[str, Any]:
    """Return the columns of a clock whose next tick is moved to `until`: an interval's grid moves along.

    A cron expression has no grid: an anchor at the tick itself says that somebody has set it.
    """
    return {
        "next_turn_at": until,
        "tick_at": until,
        "skip_next": False,
        "remind_at": remind_at(now, until),
        "anchor": until - (schedule.interval or timedelta(0)),
    }


def forced(clock: ClockState) -> Mapping[str, Any]:
    """Return the columns of a clock whose turn runs now: the schedule stays, and its next tick will do nothing."""
    if clock.tick_at is None:
        return {"trigger": "forced", "next_turn_at": clock.now}
    anchor, skipped = clock.anchor or clock.now, clock.tick_at
    tick = next_tick(clock.schedule, anchor=anchor, now=clock.now, due=skipped, made_at=None).at
    return {"trigger": "forced", "next_turn_at": clock.now, "skip_next": True, "tick_at": tick}
