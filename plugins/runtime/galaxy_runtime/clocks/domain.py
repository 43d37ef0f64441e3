"""What a look at the database's clock says, and what a changed zone database means for a tick. No I/O."""

import importlib
import re
import zoneinfo
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from uuid import UUID

import msgspec

from galaxy_contracts.schedules import Schedule
from galaxy_runtime.errors import UnknownZoneError
from galaxy_runtime.schedules import is_tick, next_tick, ticks, zone_of

LEAP = timedelta(minutes=10)
"""By how much the database's clock may gain on the process's between two passes."""


class Look(Enum):
    """What a comparison of the two clocks says."""

    STEADY = auto()
    SUSPECT = auto()
    """The clock has leapt forward since the last pass: no turn is claimed until a second pass agrees."""
    FORWARD = auto()
    """It has leapt forward: what lies between was time without a backend."""
    BACK = auto()
    """It has gone back."""


class ClockWatch:
    """Compares the database's clock with the process's monotonic clock, from pass to pass."""

    def __init__(self) -> None:
        self._offset: datetime | None = None
        """The database's time when the monotonic clock was 0, as of the last pass."""
        self._suspected: datetime | None = None

    @property
    def suspicious(self) -> bool:
        """Whether turns are held."""
        return self._suspected is not None

    def now(self, monotonic: float) -> datetime | None:
        """Return the database's time by the last pass; None before the first."""
        return None if self._offset is None else self._offset + timedelta(seconds=monotonic)

    def latest(self, monotonic: float) -> datetime | None:
        """Return the latest time that is not a leap; None before the first pass."""
        now = self.now(monotonic)
        return None if now is None else now + LEAP

    def look(self, now: datetime, monotonic: float) -> Look:
        """Compare the clocks."""
        offset = now - timedelta(seconds=monotonic)
        gained = timedelta(0) if self._offset is None else offset - self._offset
        if gained > LEAP and (self._suspected is None or abs(offset - self._suspected) > LEAP):
            self._suspected = offset
            return Look.SUSPECT
        self._offset, self._suspected = offset, None
        if gained > LEAP:
            return Look.FORWARD
        return Look.BACK if gained < -LEAP else Look.STEADY


class MissingZones:
    """Time zones that games go by and this process's zone database does not have, each with one of its games."""

    def __init__(self) -> None:
        self._games: dict[str, UUID] = {}

    def lacks(self, schedule: Schedule, game_id: UUID) -> bool:
        """Whether the schedule's zone is missing just now; note that, and which game needs it."""
        if schedule.time_zone is None or _known(schedule.time_zone):
            return False
        self._games.setdefault(schedule.time_zone, game_id)
        return True

    def sentence(self) -> str:
        """Return what is missing and for whom, without what has been installed meanwhile; empty where nothing is."""
        self._games = {zone: game for zone, game in self._games.items() if not _known(zone)}
        return ", ".join(f"{zone} (game {game})" for zone, game in sorted(self._games.items()))


def _known(zone: str) -> bool:
    try:
        zone_of(zone)
    except UnknownZoneError:
        return False
    return True


class CronClock(msgspec.Struct, frozen=True, kw_only=True):
    """A clock by cron that waits for a tick."""

    schedule: Schedule
    anchor: datetime
    now: datetime
    next_turn_at: datetime
    made_at: datetime | None
    skip_next: bool


def ticks_again(clock: CronClock) -> tuple[datetime, datetime] | None:
    """Return the tick and the one that people see, under the zone database in use; None where they are as they were.

    A tick that somebody has set does not follow from the schedule, and stays.
    """
    if clock.anchor == clock.next_turn_at or is_tick(clock.schedule, clock.anchor, clock.next_turn_at):
        return None
    tick = next_tick(clock.schedule, anchor=clock.anchor, now=clock.now, due=None, made_at=clock.made_at).at
    return tick, next(ticks(clock.schedule, clock.anchor, tick)) if clock.skip_next else tick


def zone_database(folders: Iterable[str] | None = None) -> str:
    """Return the version of the zone database that this process uses, such as `2026a`; `unknown` where it says none."""
    for folder in zoneinfo.TZPATH if folders is None else folders:
        for name in ("tzdata.zi", "+VERSION"):
            path = Path(folder) / name
            if path.is_file():
                with path.open(encoding="utf-8") as file:
                    found = re.search(r"\b20\d\d[a-z]+\b", file.readline())
                if found:
                    return found[0]
    try:
        return str(importlib.import_module("tzdata").IANA_VERSION)
    except ImportError:
        return "unknown"
