"""What the time itself does to all games: leaps of the clock, time without a backend, new rules of time zones.

What a crash leaves behind: games are moved in sets, each set one transaction with what the owner of the games makes of
it; where it was, and from when on a backend runs again, is noted with the last set. So a crash in between repeats the
rest: what was moved is not due any more, and not moved again. Two replicas take turns, by the lock of one row.

A game whose ticks cannot be computed keeps the one it has, and keeps no other from theirs: the set goes on without it,
and the zone database is not noted, so that the next start computes the rest.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from galaxy_kernel.api import Cache, Connection, Context, Health, is_unavailable
from galaxy_runtime.caches import Record
from galaxy_runtime.clocks import queries
from galaxy_runtime.clocks.domain import LEAP, ClockWatch, CronClock, Look, MissingZones, ticks_again, zone_database
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.records.domain import moved, remind_at
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable

_SHORTEST_DOWNTIME = timedelta(minutes=1)
"""Whatever the grace: a pass that was slow is not a time without a backend."""
_BETWEEN_LOOKS = 0.5
"""Seconds for which a look at the clock holds: half of the time between two notes that a backend runs."""
_SET = 200
"""Games moved in one transaction."""
_LONGEST_WAIT = timedelta(seconds=25)
"""Between two looks at a turn that has begun."""
_FIRST: UUID | None = UUID(int=0)
AFTER_DOWNTIME = "the service was away when the turn was due"
ZONE_CHANGED = "the rules of the schedule's time zone have changed"


class ClockService:
    """One process's view of the clock that all games go by."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        table: ObservingTable,
        zones: Callable[[], str] = zone_database,
    ) -> None:
        self._context, self._cache, self._time, self._table = context, cache, time, table
        self._watch, self._zones, self._begun = ClockWatch(), zones, False
        self._looked_at = -math.inf
        self.missing_zones = MissingZones()

    async def latest(self) -> datetime | None:
        """Return the latest time at which turns may be claimed without another look at the clock; None while held.

        It looks at the clock first, unless it did so a moment ago. A claim goes by the time of its own statement, and
        claims nothing where that is later than this: the clock has leapt, or no backend ran for a while, which the
        process's clock need not have noticed.
        """
        monotonic = self._context.clock.monotonic()
        if monotonic >= self._looked_at + _BETWEEN_LOOKS:
            if await self.look() is None:
                return None
            self._looked_at = monotonic
        now = self._watch.now(monotonic)
        return None if now is None else now + min(LEAP, self._gap or LEAP)

    def leapt(self) -> None:
        """Have the clock looked at before the next claim: it is later than could be."""
        self._looked_at = -math.inf

    async def look(self) -> datetime | None:
        """Look at the clock, and return its time; None while turns are held."""
        if not self._begun:
            await self._begin()
        grace, gap, monotonic = self._context.settings.downtime_grace, self._gap, self._context.clock.monotonic()
        async with self._context.database.reading() as connection:
            latest = self._watch.latest(monotonic)
            now, beat_at = await queries.beat(connection, latest, gap, self._time.shift)
        look = self._watch.look(now, monotonic)
        if look is not Look.STEADY:
            self._context.log.warning("clock_leap_noticed", leap=look.name.lower(), now=now.isoformat())
        if look is Look.SUSPECT:
            return None
        if look is Look.BACK:
            async with self._context.database.transaction() as connection:
                await queries.shorten_waits(connection, _LONGEST_WAIT, self._time.shift)
        if gap is not None and now - beat_at > gap:
            await self._return(grace, gap)
        return now

    def now(self) -> datetime | None:
        """Return the database's time by the last look and the process's clock since then; None before the first."""
        return self._watch.now(self._context.clock.monotonic())

    @property
    def _gap(self) -> timedelta | None:
        """The longest time between two looks at the clock in which a backend counts as running; None where any does."""
        grace = self._context.settings.downtime_grace
        return max(grace, _SHORTEST_DOWNTIME) if grace else None

    async def health(self) -> Health:
        """Return whether turns are held since the clock has leapt, or games wait for a time zone."""
        if self._watch.suspicious:
            return Health("degraded", "the database's clock has leapt forward: turns wait for a second look at it")
        if missing := self.missing_zones.sentence():
            return Health("degraded", f"this process's zone database lacks {missing}: install a current tzdata")
        return Health()

    async def _begin(self) -> None:
        async with self._context.database.transaction() as connection:
            await queries.install(connection, self._time.shift)
            seen = await queries.zones_seen(connection)
        zones = await asyncio.to_thread(self._zones)
        if seen and seen != zones:
            await self._zones_changed(seen, zones)
        elif not seen:
            async with self._context.database.transaction() as connection:
                await queries.note_zones(connection, zones)
        self._begun = True

    async def _return(self, grace: timedelta, gap: timedelta) -> None:
        """Move every tick of a time without a backend, longer than `gap`, to `grace` from now."""
        count, after = 0, _FIRST
        while after is not None:
            async with self._context.database.transaction() as connection:
                moved_games, after = await self._return_some(connection, grace, gap, after)
            count += moved_games
        self._context.log.warning("downtime_ended", games_moved=count)

    async def _return_some(
        self, connection: Connection, grace: timedelta, gap: timedelta, after: UUID
    ) -> tuple[int, UUID | None]:
        """Move a set of games with ids above `after`; return how many, and where to go on."""
        now, beat_at = await queries.lock_beat(connection, self._time.shift)
        if now - beat_at <= gap:
            return 0, None  # another replica has done the rest
        away = await queries.lock_away(connection, beat_at, now, after, _SET)
        if len(away) < _SET:
            await queries.stamp(connection, now)
        count = 0
        for game_id, schedule in away:
            row = {"game_id": game_id, **moved(schedule, now + grace, now), "counts": 0, "seats": None}
            count += await self._move(connection, partial(queries.postpone, connection, [row]), AFTER_DOWNTIME)
        return count, away[-1][0] if len(away) == _SET else None

    async def _zones_changed(self, seen: str, zones: str) -> None:
        """Compute the ticks of cron expressions again, under other rules of time zones."""
        count, left, after = 0, 0, _FIRST
        while after is not None:
            async with self._context.database.transaction() as connection:
                moved_games, failed, after = await self._tick_again(connection, after)
                left += failed
                if after is None and not left:
                    await queries.note_zones(connection, zones)
            count += moved_games
        self._context.log.warning("time_zones_changed", before=seen, now=zones, games_moved=count, games_left=left)

    async def _tick_again(self, connection: Connection, after: UUID) -> tuple[int, int, UUID | None]:
        """Compute the ticks of a set of games with ids above `after`; return how many moved and failed, and the next.

        The next is where to go on, None at the end.
        """
        clocks = await queries.lock_cron(connection, after, _SET, self._time.shift)
        count = failed = 0
        for game_id, clock in clocks:
            try:
                ticks = ticks_again(clock)
            except Exception as error:
                failed += 1
                self._uncomputed(game_id, clock, error)
                continue
            if ticks is not None:
                reminder = remind_at(clock.made_at or clock.now, ticks[1])
                row = {"game_id": game_id, "next_turn_at": ticks[0], "tick_at": ticks[1], "remind_at": reminder}
                count += await self._move(connection, partial(queries.move_ticks, connection, [row]), ZONE_CHANGED)
        return count, failed, clocks[-1][0] if len(clocks) == _SET else None

    def _uncomputed(self, game_id: UUID, clock: CronClock, error: Exception) -> None:
        missing, zone = self.missing_zones.lacks(clock.schedule, game_id), clock.schedule.time_zone
        self._context.log.error(
            "tick_computation_failed", game_id=str(game_id), time_zone=zone, exc_info=None if missing else error
        )

    async def _move(self, connection: Connection, move: Callable[[], Awaitable[Sequence[Record]]], reason: str) -> bool:
        """Move a locked game's tick with what its owner makes of it; where that raises, the tick stays as it was."""
        try:
            async with connection.begin_nested():
                records = await move()
                await self._cache.put_many(connection, records)
                for record in records:
                    if record.tick_at is not None:
                        await self._table.owner.postponed(connection, record.game_id, record.tick_at, reason)
        except Exception as error:
            if is_unavailable(error):
                raise
            self._context.log.error("game_owner_failed", what="postponed", owner=self._table.plugin, exc_info=error)
            return False
        return True
