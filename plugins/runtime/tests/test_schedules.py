"""Schedules: the next tick is always later, daily is daily, and what cannot be kept is refused."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_contracts.schedules import Schedule
from galaxy_runtime.schedules import faults, next_tick, ticks

SHORTEST = timedelta(seconds=10)
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ZONES = sorted(zone for zone in available_timezones() if "/" in zone)


def daily(cron: str, zone: str = "Europe/Vienna") -> Schedule:
    return Schedule(cron=cron, time_zone=zone)


@cache
def transitions(zone: str, year: int = 2027) -> list[datetime]:
    """Return the hours of the year in which the zone's offset from UTC changes."""
    local, hour = ZoneInfo(zone), timedelta(hours=1)

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(local).utcoffset()

    days = [datetime(year, 1, 1, tzinfo=UTC) + DAY * day for day in range(366)]
    changed = [day for day in days if offset(day) != offset(day + DAY)]
    return [
        day + hour * n for day in changed for n in range(24) if offset(day + hour * n) != offset(day + hour * (n + 1))
    ]


def test_an_interval_is_a_grid() -> None:
    """A turn that ran late does not move the ticks after it."""
    schedule = Schedule(interval=timedelta(hours=6))
    due = NOW + timedelta(hours=6)
    tick = next_tick(schedule, anchor=NOW, now=due + timedelta(minutes=90), due=due, made_at=due)
    assert (tick.at, tick.missed) == (NOW + timedelta(hours=12), 0)


def test_ticks_passed_over_are_counted() -> None:
    """After an outage one late turn has run; the others are counted and do not run."""
    due = NOW + DAY
    tick = next_tick(Schedule(interval=DAY), anchor=NOW, now=due + 3 * DAY + SHORTEST, due=due, made_at=None)
    assert (tick.at, tick.missed) == (NOW + 5 * DAY, 3)


def test_a_forced_turn_leaves_the_tick_that_is_due() -> None:
    """Without a due tick the next one is the first after now, however recent the last position is."""
    tick = next_tick(Schedule(interval=DAY), anchor=NOW, now=NOW + timedelta(hours=1), due=None, made_at=NOW)
    assert (tick.at, tick.missed) == (NOW + DAY, 0)


@pytest.mark.parametrize(("minutes", "expected"), [(30, 1), (60, 1), (61, 2), (120, 2)])
def test_at_least_is_the_shortest_a_turn_lasts(minutes: int, expected: int) -> None:
    """A tick exactly so long after the last position counts; an earlier one is passed over."""
    schedule = Schedule(interval=timedelta(hours=1), at_least=timedelta(minutes=minutes))
    assert next_tick(schedule, anchor=NOW, now=NOW, due=None, made_at=NOW).at == NOW + timedelta(hours=expected)


def test_a_skipped_hour_ticks_right_after_the_jump() -> None:
    """02:30 does not exist in Vienna on 28 March 2027: the turn runs at 03:00 summer time, once."""
    found = list(islice(ticks(daily("30 2 * * *"), NOW, datetime(2027, 3, 27, 12, tzinfo=UTC)), 2))
    assert found == [datetime(2027, 3, 28, 1, 0, tzinfo=UTC), datetime(2027, 3, 29, 0, 30, tzinfo=UTC)]


def test_a_repeated_hour_ticks_once() -> None:
    """02:30 comes twice in Vienna on 31 October 2027, the turn once, asked before or between the two."""
    schedule, nxt = daily("30 2 * * *"), datetime(2027, 11, 1, 1, 30, tzinfo=UTC)
    first, second = islice(ticks(schedule, NOW, datetime(2027, 10, 30, 12, tzinfo=UTC)), 2)
    assert (first.day, second) == (31, nxt)
    assert next(ticks(schedule, NOW, datetime(2027, 10, 31, 1, 15, tzinfo=UTC))) in {
        datetime(2027, 10, 31, 1, 30, tzinfo=UTC),
        nxt,
    }


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(ZONES), st.integers(-180, 180), st.integers(0, 59), st.integers(0, 23))
def test_the_next_tick_is_always_later(data: st.DataObject, zone: str, minutes: int, minute: int, hour: int) -> None:
    """Around every transition of every zone, for expressions by day, hour and minute."""
    around = data.draw(st.sampled_from(transitions(zone) or [NOW]))
    start = around + timedelta(minutes=minutes)
    for expression in (f"{minute} {hour} * * *", f"{minute} * * * *", f"*/{minute + 1} {hour} * * *"):
        schedule = daily(expression, zone)
        found = list(islice(ticks(schedule, NOW, start), 5))
        assert found == sorted(set(found)) and found[0] > start
        tick = next_tick(schedule, anchor=NOW, now=start, due=start + timedelta(minutes=1), made_at=None)
        assert tick.at > start + timedelta(minutes=1)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 59), st.integers(0, 23))
def test_daily_ticks_once_a_local_day(zone: str, minute: int, hour: int) -> None:
    """A year of a daily game has one turn on each local date, whatever the clocks do."""
    local = ZoneInfo(zone)
    found = islice(ticks(daily(f"{minute} {hour} * * *", zone), NOW, datetime(2026, 12, 31, 0, tzinfo=UTC)), 368)
    dates = [tick.astimezone(local).date() for tick in found]
    gaps = {(later - earlier).days for earlier, later in pairwise(dates)}
    assert gaps <= {1, 2} and len(set(dates)) == len(dates)  # 2: a zone that skips a whole date


@pytest.mark.parametrize(
    ("schedule", "field", "message"),
    [
        (Schedule(), "schedule", "either interval"),
        (Schedule(interval=DAY, cron="0 0 * * *", time_zone="UTC"), "schedule", "either interval"),
        (Schedule(interval=timedelta(seconds=9)), "schedule.interval", "from 10 s"),
        (Schedule(interval=timedelta(days=367)), "schedule.interval", "366 days"),
        (Schedule(interval=DAY, time_zone="UTC"), "schedule.time_zone", "belongs to cron"),
        (Schedule(interval=DAY, at_least=-DAY), "schedule.at_least", "from 0 s"),
        (Schedule(cron="0 0 * * *"), "schedule.time_zone", "is needed"),
        (daily("0 0 * * *", "Mars/Olympus"), "schedule.time_zone", "not the name"),
        (daily("0 0 * * *", "../etc/passwd"), "schedule.time_zone", "not the name"),
        (daily("0 0 * *"), "schedule.cron", "five fields"),
        (daily("0 0 * * * *"), "schedule.cron", "five fields"),
        (daily("61 0 * * *"), "schedule.cron", "not a cron expression"),
        (daily("0 0 30 2 *"), "schedule.cron", "not a cron expression"),
        (daily("0 " * 200 + "*"), "schedule.cron", "five fields"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_field(schedule: Schedule, field: str, message: str) -> None:
    """A player learns which field is wrong before the game exists."""
    (fault,) = faults(schedule, now=NOW, shortest=SHORTEST)
    assert fault.field == field
    assert message in fault.message


def test_a_schedule_without_a_tick_for_a_year_is_refused() -> None:
    """The next 29 February after that of 2028 is four years away."""
    (fault,) = faults(daily("0 0 29 2 *"), now=datetime(2028, 3, 1, tzinfo=UTC), shortest=SHORTEST)
    assert (fault.field, fault.message) == ("schedule.cron", "has no tick within 366 days")


def test_ticks_too_close_are_refused() -> None:
    """Every minute is too often where ten minutes is the shortest."""
    (fault,) = faults(daily("* * * * *"), now=NOW, shortest=timedelta(minutes=10))
    assert "60 s apart" in fault.message


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(interval=SHORTEST),
        Schedule(interval=DAY, at_least=timedelta(hours=1)),
        daily("0 18 * * mon,thu"),
        daily("*/5 * * * *", "Asia/Kathmandu"),
        daily("0 0 1 1 *"),
    ],
)
def test_what_can_be_kept_is_accepted(schedule: Schedule) -> None:
    """Usual schedules have no faults."""
    assert faults(schedule, now=NOW, shortest=SHORTEST) == []
