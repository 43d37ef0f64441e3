"""When turns run: the only place that knows what a schedule means. Pure functions of times in UTC.

An interval is a grid: tick k is `anchor + k * interval`, however late a turn ran. A cron expression has five fields and
is evaluated in its zone by Debian's rules: a tick in an hour that the zone skips comes right after the jump, one in an
hour that it repeats comes once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import FieldError
from galaxy_runtime.errors import UnknownZoneError

LONGEST_WAIT = timedelta(days=366)
"""A schedule that has no tick for so long is a mistake."""
LONGEST_TURN = timedelta(days=366)
"""The largest interval, and the largest `at_least`."""
_TICKS_LOOKED_AT = 1_000
_TIME_LOOKED_AT = timedelta(days=4 * 366)
"""How far and how many ticks a new schedule is looked at: what a yearly one costs is bounded too."""
_MISSED_COUNTED = 10_000
_LONGEST_EXPRESSION = 200
"""Characters."""


class Tick(msgspec.Struct, frozen=True):
    """The next time at which a turn runs."""

    at: datetime
    missed: int
    """Ticks between the one that was due and now, which will not run."""


def next_tick(
    schedule: Schedule, *, anchor: datetime, now: datetime, due: datetime | None, made_at: datetime | None
) -> Tick:
    """Return the first tick later than now and than the one that was due, no less than `at_least` after `made_at`.

    `anchor` is where an interval's grid begins. `made_at` is when the last position was made. Times are aware.
    """
    passed = max(now, due) if due is not None else now
    earliest = passed
    if schedule.at_least is not None and made_at is not None:
        earliest = max(passed, made_at + schedule.at_least - timedelta(microseconds=1))  # at least, not more than
    at = next(ticks(schedule, anchor, earliest))
    return Tick(at, 0 if due is None else _count(schedule, anchor, due, now))


def ticks(schedule: Schedule, anchor: datetime, after: datetime) -> Iterator[datetime]:
    """Yield the ticks later than `after`, each later than the one before. Raise UnknownZoneError."""
    if schedule.interval is not None:
        return _grid(schedule.interval, anchor, after)
    if schedule.cron is None or schedule.time_zone is None:
        raise ValueError("a schedule has an interval, or a cron expression with its time zone")
    return _cron(schedule.cron, zone_of(schedule.time_zone), after)


def is_tick(schedule: Schedule, anchor: datetime, at: datetime) -> bool:
    """Whether a time is one at which the schedule has a turn. Raise UnknownZoneError."""
    return next(ticks(schedule, anchor, at - timedelta(microseconds=1))) == at


def zone_of(name: str) -> ZoneInfo:
    """Return a zone. Raise UnknownZoneError where this process's zone database does not have it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name, the name of a folder
        raise UnknownZoneError(name) from None


def _grid(interval: timedelta, anchor: datetime, after: datetime) -> Iterator[datetime]:
    step = max(1, (after - anchor) // interval + 1)
    while True:
        yield anchor + step * interval
        step += 1


def _cron(expression: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yield strictly later ticks: cronsim, asked from within a repeated hour, may begin with earlier ones."""
    last = after
    for local in CronSim(expression, after.astimezone(zone)):
        tick = local.astimezone(UTC)
        if tick > last:
            yield tick
            last = tick


def _count(schedule: Schedule, anchor: datetime, due: datetime, now: datetime) -> int:
    """Count the ticks later than `due` and not later than `now`, up to a bound."""
    count = 0
    for tick in ticks(schedule, anchor, due):
        if tick > now or count == _MISSED_COUNTED:
            break
        count += 1
    return count


def faults(schedule: Schedule, *, now: datetime, shortest: timedelta) -> list[FieldError]:
    """Return what keeps the schedule from being kept, by field; `shortest` is how close two ticks may be."""
    if (schedule.interval is None) == (schedule.cron is None):
        return [FieldError("schedule", "needs either interval, or cron with time_zone")]
    found = _length_faults("at_least", schedule.at_least, timedelta(0))
    if schedule.interval is not None:
        if schedule.time_zone is not None:
            found.append(FieldError("schedule.time_zone", "belongs to cron"))
        return found + _length_faults("interval", schedule.interval, shortest)
    return found or _cron_faults(schedule, now, shortest)


def _length_faults(name: str, length: timedelta | None, shortest: timedelta) -> list[FieldError]:
    if length is None or shortest <= length <= LONGEST_TURN:
        return []
    bounds = f"must be from {shortest.total_seconds():g} s to {LONGEST_TURN.days} days"
    return [FieldError(f"schedule.{name}", bounds)]


def _cron_faults(schedule: Schedule, now: datetime, shortest: timedelta) -> list[FieldError]:
    if schedule.time_zone is None:
        return [FieldError("schedule.time_zone", "is needed for cron, for example Europe/Vienna")]
    try:
        zone = zone_of(schedule.time_zone)
    except UnknownZoneError:
        return [FieldError("schedule.time_zone", "is not the name of a time zone")]
    expression = schedule.cron or ""
    if len(expression) > _LONGEST_EXPRESSION or len(expression.split()) != 5:
        return [FieldError("schedule.cron", "must be five fields: minute hour day-of-month month day-of-week")]
    try:
        return _tick_faults(_cron(expression, zone, now), now, shortest)
    except CronSimError as error:
        return [FieldError("schedule.cron", f"is not a cron expression: {error}")]


def _tick_faults(upcoming: Iterator[datetime], now: datetime, shortest: timedelta) -> list[FieldError]:
    found: list[datetime] = []
    for _, tick in zip(range(_TICKS_LOOKED_AT), upcoming, strict=False):
        if not found and tick - now > LONGEST_WAIT:
            return [FieldError("schedule.cron", f"has no tick within {LONGEST_WAIT.days} days")]
        if tick - now > _TIME_LOOKED_AT:
            break
        found.append(tick)
    if not found:
        return [FieldError("schedule.cron", "never has a tick")]
    closest = min((later - earlier for earlier, later in pairwise(found)), default=shortest)
    if closest < shortest:
        message = f"has ticks {closest.total_seconds():g} s apart; the shortest is {shortest.total_seconds():g} s"
        return [FieldError("schedule.cron", message)]
    return []
