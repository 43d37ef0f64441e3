"""S-19: ninety days of daily games by a shifted clock, in a zone that changes its clocks twice in them.

Casablanca ends its summer time for Ramadan and begins it again five weeks later: both changes of 2027 fall into the
days from 15 January. The seed draws the local time of each game, the hours that a change skips or repeats included. The
clocks of database and process go on by a day at a time, and every game runs exactly one turn in each.
"""

import random
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from bench import games, postgres
from bench.endurance.verdict import Verdict, some
from galaxy_chassis.clock import ManualClock
from galaxy_contracts.schedules import Schedule
from galaxy_runtime.domain import schedule_json
from galaxy_runtime.schedules import next_tick

ZONE = "Africa/Casablanca"
BEGIN = datetime(2027, 1, 15, 12, tzinfo=UTC)
DAYS = 90
WITHIN = 10.0
"""Seconds for all of it."""
_HOURS = (0, 1, 2, 3, 5, 8, 18, 20, 23)
"""Local hours of ticks: far enough from noon, at which days are counted here."""
_SCHEDULED = "UPDATE runtime_records SET schedule = $2::jsonb, next_turn_at = $3, tick_at = $3 WHERE game_id = $1"
_DAY = timedelta(days=1)


async def run(*, seed: int, short: bool) -> Verdict:
    """Run five games; one when short."""
    count = 1 if short else 5
    source = random.Random(seed)
    crons = [f"{source.randrange(60)} {source.choice(_HOURS)} * * *" for _ in range(count)]
    async with postgres.migrated(*games.PLUGINS) as dsn:
        await games.fill(dsn, count)
        began = time.perf_counter()
        await _live(dsn, crons)
        took = time.perf_counter() - began
        made = await _positions(dsn)
    broken = [each for number, cron in enumerate(crons, 1) for each in _faults(cron, made[games.game_id(number)])]
    return Verdict(
        id="S-19",
        scenario="days",
        seed=seed,
        operations=sum(len(each) for each in made.values()),
        kills={},
        lost=sum(max(DAYS - len(each), 0) for each in made.values()),
        duplicated=0,
        converged_in=took,
        within=WITHIN,
        broken=broken,
        notes={"games": count, "days": DAYS, "changes of the clocks": len(_changes())},
    )


async def _live(dsn: str, crons: list[str]) -> None:
    clock = ManualClock(datetime.now(UTC))
    connection = await asyncpg.connect(dsn)
    async with games.table(dsn, clock=clock) as table:
        _pass(table, clock, BEGIN - clock.now())
        for number, cron in enumerate(crons, 1):
            schedule = Schedule(cron=cron, time_zone=ZONE)
            tick = next_tick(schedule, anchor=BEGIN, now=BEGIN, due=None, made_at=BEGIN).at
            value = msgspec.json.encode(schedule_json(schedule)).decode()
            await connection.execute(_SCHEDULED, games.game_id(number), value, tick)
        for day in range(1, DAYS + 1):
            await connection.execute("UPDATE runtime_records SET sent = awaiting")
            _pass(table, clock, _DAY)
            await table.until(day * len(crons))
    await connection.close()


def _pass(table: games.Table, clock: ManualClock, step: timedelta) -> None:
    clock.advance(step)
    table.runtime.time.shift += step
    table.wake()


async def _positions(dsn: str) -> dict[Any, list[datetime]]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT game_id, due_at FROM runtime_turns WHERE turn > 0 ORDER BY game_id, turn")
    await connection.close()
    made: dict[Any, list[datetime]] = {}
    for row in rows:
        made.setdefault(row["game_id"], []).append(row["due_at"].astimezone(ZoneInfo(ZONE)))
    return made


def _faults(cron: str, local: list[datetime]) -> list[str]:
    """Return what is wrong with a game's deadlines: one on each local day, at its time unless that day skips it."""
    minute, hour = (int(part) for part in cron.split()[:2])
    days = [each.date() for each in local]
    missing = [str(after) for before, after in pairwise(days) if after - before != _DAY]
    usual = [each for each in local if each.date() not in _changes()]
    other = [str(each) for each in usual if (each.hour, each.minute) != (hour, minute)]
    return [
        *some(f"days of {cron!r} without one turn", missing),
        *some(f"turns of {cron!r} at another local time", other),
        *([] if len(local) == DAYS else [f"{cron!r}: {len(local)} turns in {DAYS} days"]),
    ]


def _changes() -> list[Any]:
    """Return the local days, of those lived through, on which the zone's offset changes."""
    zone = ZoneInfo(ZONE)
    days = [(BEGIN + number * _DAY).astimezone(zone) for number in range(DAYS + 1)]
    return [after.date() for before, after in pairwise(days) if before.utcoffset() != after.utcoffset()]
