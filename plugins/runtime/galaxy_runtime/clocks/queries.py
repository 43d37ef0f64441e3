"""Every statement about the clock that all games share, as functions of a connection."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import DateTime, Double, Integer, Interval, Row, Text, Uuid, bindparam, column, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import Connection, prepared
from galaxy_runtime.caches import RECORD, Record
from galaxy_runtime.clocks.domain import CronClock
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.domain import schedule_from
from galaxy_runtime.records.queries import SHOWN, record_of
from galaxy_runtime.tables import runtime_installation, runtime_records

_records, _installation = runtime_records.c, runtime_installation.c
_BEAT_INTERVAL = "interval '1 second'"

_INSTALL = text(
    f"INSERT INTO runtime_installation (owner, beat_at) VALUES (gen_random_uuid(), {NOW}) ON CONFLICT DO NOTHING"  # noqa: S608  constants
).bindparams(SHIFT)

_BEAT = prepared(
    text(f"""
    WITH clock AS (SELECT {NOW} AS now), stamped AS (
        UPDATE runtime_installation AS i SET beat_at = clock.now FROM clock
        WHERE i.one AND clock.now <= coalesce(CAST(:latest AS timestamptz), clock.now)
            AND clock.now - i.beat_at NOT BETWEEN interval '0' AND {_BEAT_INTERVAL}
            AND clock.now - i.beat_at <= coalesce(CAST(:longest AS interval), clock.now - i.beat_at)
    )
    SELECT clock.now, i.beat_at FROM clock, runtime_installation AS i WHERE i.one
    """)  # noqa: S608  constants
    .bindparams(SHIFT, bindparam("latest", type_=DateTime(timezone=True)), bindparam("longest", type_=Interval))
    .columns(column("now", DateTime(timezone=True)), _installation.beat_at)
)

_LOCK_BEAT = (
    text(f"SELECT {NOW} AS now, beat_at FROM runtime_installation WHERE one FOR UPDATE")  # noqa: S608  constants
    .bindparams(SHIFT)
    .columns(column("now", DateTime(timezone=True)), _installation.beat_at)
)
_STAMP = text("UPDATE runtime_installation SET beat_at = :at WHERE one").bindparams(
    bindparam("at", type_=DateTime(timezone=True))
)

_AWAY = (
    text("""
    SELECT game_id, schedule FROM runtime_records
    WHERE playing AND due_at IS NULL AND trigger = 'scheduled' AND NOT skip_next
        AND next_turn_at > :since AND next_turn_at <= :until AND game_id > :after
    ORDER BY game_id LIMIT :limit FOR UPDATE
    """)
    .bindparams(
        bindparam("since", type_=DateTime(timezone=True)),
        bindparam("until", type_=DateTime(timezone=True)),
        bindparam("after", type_=Uuid),
    )
    .columns(_records.game_id, _records.schedule)
)

_ZONES = text("SELECT time_zones FROM runtime_installation WHERE one")
_NOTE_ZONES = text("UPDATE runtime_installation SET time_zones = :zones WHERE one").bindparams(
    bindparam("zones", type_=Text)
)
_CRON_COLUMNS = ("schedule", "anchor", "next_turn_at", "made_at", "skip_next")
_CRON = (
    text(f"""
    SELECT game_id, {", ".join(_CRON_COLUMNS)}, {NOW} AS now FROM runtime_records
    WHERE playing AND due_at IS NULL AND trigger = 'scheduled' AND schedule ->> 'cron' IS NOT NULL
        AND next_turn_at > {NOW} AND game_id > :after
    ORDER BY game_id LIMIT :limit FOR UPDATE
    """)  # noqa: S608  constants
    .bindparams(SHIFT, bindparam("after", type_=Uuid))
    .columns(_records.game_id, *(_records[name] for name in _CRON_COLUMNS), column("now", DateTime(timezone=True)))
)
_POSTPONE = (
    text(f"""
    UPDATE runtime_records AS r SET next_turn_at = new.next_turn_at, tick_at = new.tick_at,
        remind_at = new.remind_at, anchor = new.anchor, skip_next = new.skip_next, postponed = r.postponed + new.counts,
        seats = coalesce(new.seats, r.seats)
    FROM jsonb_to_recordset(:rows) AS new (
        game_id uuid, next_turn_at timestamptz, tick_at timestamptz, remind_at timestamptz, anchor timestamptz,
        skip_next boolean, counts int, seats jsonb)
    WHERE r.game_id = new.game_id RETURNING {SHOWN}
    """)  # noqa: S608  constants
    .bindparams(bindparam("rows", type_=JSONB))
    .columns(*RECORD)
)

_MOVE_TICKS = (
    text(f"""
    UPDATE runtime_records AS r SET next_turn_at = new.next_turn_at, tick_at = new.tick_at, remind_at = new.remind_at
    FROM jsonb_to_recordset(:rows) AS new (
        game_id uuid, next_turn_at timestamptz, tick_at timestamptz, remind_at timestamptz)
    WHERE r.game_id = new.game_id RETURNING {SHOWN}
    """)  # noqa: S608  constants
    .bindparams(bindparam("rows", type_=JSONB))
    .columns(*RECORD)
)

_SHORTEN = text(f"""
    UPDATE runtime_records SET next_turn_at = {NOW} + :longest
    WHERE playing AND due_at IS NOT NULL AND next_turn_at > {NOW} + :longest
    """).bindparams(SHIFT, bindparam("longest", type_=Interval))  # noqa: S608  constants

_BACKLOG = (
    text(f"""
    SELECT count(*), count(*) FILTER (WHERE age > :late), extract(epoch FROM coalesce(max(age), interval '0')) FROM (
        SELECT {NOW} - coalesce(due_at, next_turn_at) AS age FROM runtime_records
        WHERE playing AND next_turn_at <= {NOW} ORDER BY next_turn_at LIMIT :most) AS due
    """)  # noqa: S608  constants
    .bindparams(SHIFT, bindparam("late", type_=Interval))
    .columns(column("due", Integer), column("late", Integer), column("overdue", Double))
)

_REMIND = (
    text(f"""
    WITH due AS (
        SELECT game_id FROM runtime_records WHERE playing AND remind_at IS NOT NULL AND remind_at <= {NOW}
        ORDER BY remind_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE runtime_records AS r SET remind_at = NULL FROM due WHERE r.game_id = due.game_id
    RETURNING r.game_id, r.turn, r.seats, r.awaiting, r.sent, r.due_at IS NULL AND r.tick_at > {NOW} AS open
    """)  # noqa: S608  constants
    .bindparams(SHIFT)
    .columns(
        *(_records[name] for name in ("game_id", "turn", "seats", "awaiting", "sent")),
        column("open"),
    )
)


async def install(connection: Connection, shift: timedelta) -> None:
    """Make the row of the installation, unless it is there."""
    await connection.execute(_INSTALL, {"shift": shift})


async def beat(
    connection: Connection, latest: datetime | None, longest: timedelta | None, shift: timedelta
) -> tuple[datetime, datetime]:
    """Return the time, and when a backend last looked for due turns; note that one does now.

    Not where it is later than `latest`, nor after a gap longer than `longest`.
    """
    values = {"latest": latest, "longest": longest, "shift": shift}
    row = (await connection.execute(_BEAT, values)).one()
    return row.now, row.beat_at


async def lock_beat(connection: Connection, shift: timedelta) -> tuple[datetime, datetime]:
    """Return what `beat` returns, and keep others from noting theirs until this transaction ends."""
    row = (await connection.execute(_LOCK_BEAT, {"shift": shift})).one()
    return row.now, row.beat_at


async def stamp(connection: Connection, at: datetime) -> None:
    """Note that a backend looks for due turns."""
    await connection.execute(_STAMP, {"at": at})


async def lock_away(
    connection: Connection, since: datetime, until: datetime, after: UUID, limit: int
) -> list[tuple[UUID, Schedule]]:
    """Lock and return, by ids above `after`, games whose ticks fell between two times."""
    values = {"since": since, "until": until, "after": after, "limit": limit}
    return [(row.game_id, schedule_from(row.schedule)) for row in await connection.execute(_AWAY, values)]


async def zones_seen(connection: Connection) -> str:
    """Return the version of the zone database by which ticks were computed; empty at first."""
    return str((await connection.execute(_ZONES)).scalar_one())


async def note_zones(connection: Connection, zones: str) -> None:
    """Note by which zone database ticks are computed."""
    await connection.execute(_NOTE_ZONES, {"zones": zones})


async def lock_cron(connection: Connection, after: UUID, limit: int, shift: timedelta) -> list[tuple[UUID, CronClock]]:
    """Lock and return, by ids above `after`, clocks that wait for a tick of a cron expression."""
    rows = await connection.execute(_CRON, {"after": after, "limit": limit, "shift": shift})
    return [(row.game_id, _cron(row)) for row in rows]


async def postpone(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Move the deadlines of locked games."""
    built = [msgspec.to_builtins(row, str_keys=True) for row in rows]
    return [record_of(row) for row in await connection.execute(_POSTPONE, {"rows": built})]


async def move_ticks(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Set the ticks of locked games."""
    built = [msgspec.to_builtins(row) for row in rows]
    return [record_of(row) for row in await connection.execute(_MOVE_TICKS, {"rows": built})]


async def shorten_waits(connection: Connection, longest: timedelta, shift: timedelta) -> None:
    """Have turns that have begun looked at within `longest`: the clock has gone back since their times were set."""
    await connection.execute(_SHORTEN, {"longest": longest, "shift": shift})


async def backlog(connection: Connection, late: timedelta, most: int, shift: timedelta) -> tuple[int, int, float]:
    """Return how many turns are due, how many for longer than `late`, and the seconds of the longest.

    At most `most` are looked at, first those whose time came first.
    """
    row = (await connection.execute(_BACKLOG, {"late": late, "most": most, "shift": shift})).one()
    return row[0], row[1], float(row[2])


async def take_reminders(connection: Connection, limit: int, shift: timedelta) -> Sequence[Row[Any]]:
    """Lock and return games whose players are to be reminded; it is noted that they were."""
    return (await connection.execute(_REMIND, {"limit": limit, "shift": shift})).all()


def _cron(row: Row[Any]) -> CronClock:
    values = {name: getattr(row, name) for name in (*_CRON_COLUMNS, "now")}
    return CronClock(**{**values, "schedule": schedule_from(row.schedule)})
