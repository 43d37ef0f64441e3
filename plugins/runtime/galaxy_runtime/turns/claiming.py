"""Every statement about games that are due, as functions of a connection: the claim, and what else becomes of them.

Records that are locked already are passed over, so that nothing here waits.
"Now" is the database's clock, shifted only by tests.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import DateTime, Float, Integer, Interval, Text, bindparam, column, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import Connection, prepared, uuid_array
from galaxy_runtime.caches import RECORD, Record
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.records.queries import SHOWN, record_of, seat_is
from galaxy_runtime.turns.domain import LEASE, DueRecord

_IDS = bindparam("ids", type_=Text)
"""An array as text."""
_SPREAD = bindparam("spread", type_=Interval)
_ROWS = bindparam("rows", type_=JSONB)
_ONE_BY_ONE = msgspec.json.Decoder(list[msgspec.Raw])
_DUE_RECORDS = msgspec.json.Decoder(list[DueRecord], strict=False)
_DUE_RECORD = msgspec.json.Decoder(DueRecord, strict=False)
"""Not strict: the lengths of schedules are numbers of seconds."""

_CLAIMABLE = """CASE WHEN r.due_at IS NULL AND r.trigger = 'scheduled' AND CAST(:spread AS interval) > interval '0'
        THEN r.next_turn_at + mod(
            uuid_hash_extended(r.game_id, 0) & 2147483647, CAST(extract(epoch FROM CAST(:spread AS interval)) AS bigint)
        ) * interval '1 second'
        ELSE r.next_turn_at END"""
"""When a turn may be claimed: at its time, or spread over a while after it. The deadline is the same for all."""

_SILENT = f"""ARRAY (
    SELECT waited.seat FROM unnest(r.awaiting) AS waited (seat)
    WHERE waited.seat <> ALL (r.sent)
        AND NOT {seat_is("machine")})"""  # noqa: S608  constants
"""Awaited seats that have sent nothing; the engine's own are never absent."""
_ABSENT = f"CASE WHEN r.due_at IS NOT NULL AND r.absent IS NOT NULL THEN r.absent ELSE {_SILENT} END"

_DUE_COLUMNS = (
    *("game_id", "image", "turn", "seats", "awaiting", "sent", "final", "phase", "schedule", "anchor", "policy"),
    *("policy_options", "trigger", "skip_next", "next_turn_at", "due_at", "made_at", "postponed"),
    *("turn_lease", "turn_attempts", "turn_failure", "wanted", "generation", "address"),
    "turn_claimed_at",
)
_CLAIM = prepared(
    text(f"""
    WITH due AS (
        SELECT {", ".join(f"r.{name}" for name in _DUE_COLUMNS)}, {_ABSENT} AS absent FROM runtime_records AS r
        WHERE r.playing AND r.next_turn_at <= {NOW} AND {_CLAIMABLE} <= {NOW} AND {NOW} <= :latest
        ORDER BY r.next_turn_at LIMIT :limit FOR UPDATE OF r SKIP LOCKED
    ), claimed AS (
        UPDATE runtime_records AS r SET turn_lease = r.turn_lease + 1, turn_claimed_at = {NOW},
            due_at = coalesce(r.due_at, r.next_turn_at), next_turn_at = {NOW} + :lease_time,
            turn_attempts = r.turn_attempts + 1, absent = {_ABSENT},
            orders_closed_at = coalesce(r.orders_closed_at, {NOW})
        WHERE r.game_id = ANY (ARRAY (SELECT game_id FROM due))
    )
    SELECT {NOW} AS now, CAST(json_agg(due) AS text) AS due FROM due
    """)  # noqa: S608  constants
    .bindparams(
        SHIFT,
        _SPREAD,
        bindparam("lease_time", type_=Interval),
        bindparam("latest", type_=DateTime(timezone=True)),
        bindparam("limit", type_=Integer),
    )
    .columns(column("now", DateTime(timezone=True)), column("due", Text))
)
"""Joined with `due`, the planner reads the whole of a small table; with the array it takes the primary key."""

_BEFORE = ("game_id", "next_turn_at", "due_at", "turn_claimed_at")
_UNCLAIM = text("""
    UPDATE runtime_records AS r SET turn_lease = r.turn_lease - 1, turn_attempts = r.turn_attempts - 1,
        turn_claimed_at = given.turn_claimed_at, next_turn_at = given.next_turn_at, due_at = given.due_at,
        absent = CASE WHEN given.due_at IS NOT NULL THEN r.absent END,
        orders_closed_at = CASE WHEN given.due_at IS NOT NULL THEN r.orders_closed_at END
    FROM jsonb_to_recordset(:rows) AS given (
        game_id uuid, next_turn_at timestamptz, due_at timestamptz, turn_claimed_at timestamptz)
    WHERE r.game_id = given.game_id
    """).bindparams(_ROWS)

_SET_ABSENT = text("""
    UPDATE runtime_records AS r SET absent = given.absent
    FROM jsonb_to_recordset(:rows) AS given (game_id uuid, absent smallint[]) WHERE r.game_id = given.game_id
    """).bindparams(_ROWS)

_SOONEST = prepared(
    text(f"""
    SELECT CAST(extract(epoch FROM least(
        (SELECT min(next_turn_at) FROM runtime_records WHERE playing AND next_turn_at > {NOW}),
        (SELECT min({_CLAIMABLE}) FROM runtime_records AS r WHERE r.playing AND r.next_turn_at <= {NOW})
    ) - :since) AS float8)
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _SPREAD, bindparam("since", type_=DateTime(timezone=True)))
    .columns(column("seconds", Float))
)

_SHOW = (
    text(f"SELECT {SHOWN} FROM runtime_records AS r WHERE r.game_id = ANY (CAST(:ids AS uuid[]))")  # noqa: S608  constants
    .bindparams(_IDS)
    .columns(*RECORD)
)

_SKIP = (
    text(f"""
    UPDATE runtime_records AS r SET skip_next = false, next_turn_at = new.at, tick_at = new.at
    FROM jsonb_to_recordset(:rows) AS new (game_id uuid, at timestamptz)
    WHERE r.game_id = new.game_id RETURNING {SHOWN}
    """)  # noqa: S608  constants
    .bindparams(_ROWS)
    .columns(*RECORD)
)

_LOOK_AGAIN = (
    text(f"""
    UPDATE runtime_records AS r SET next_turn_at = {NOW} + :delay
    WHERE r.game_id = ANY (CAST(:ids AS uuid[])) RETURNING {SHOWN}
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _IDS, bindparam("delay", type_=Interval))
    .columns(*RECORD)
)


class UnreadableRecord(msgspec.Struct, frozen=True):
    """A game that was due and is claimed, whose record is not what this process expects."""

    game_id: UUID
    next_turn_at: datetime
    due_at: datetime | None
    turn_claimed_at: datetime | None
    error: str = ""
    """What is wrong with it."""


_UNREADABLE = msgspec.json.Decoder(UnreadableRecord)


class DueGames(msgspec.Struct, frozen=True):
    """Games that were due and are claimed, the longest due first, as they were before."""

    now: datetime
    """The database's time of the claim."""
    due: Sequence[DueRecord] = ()
    unreadable: Sequence[UnreadableRecord] = ()

    @property
    def count(self) -> int:
        """How many games were claimed."""
        return len(self.due) + len(self.unreadable)


async def claim(connection: Connection, latest: datetime, limit: int, spread: timedelta, shift: timedelta) -> DueGames:
    """Claim and return the games that are due, unless it is later than `latest`.

    Their orders close, the attempt counts, and the next look at them is a lease away. Where something else is decided
    of a game, `unclaim` follows in the same transaction.
    """
    values = {"latest": latest, "limit": limit, "spread": spread, "lease_time": LEASE, "shift": shift}
    now, rows = (await connection.execute(_CLAIM, values)).one()
    if rows is None:
        return DueGames(now)
    try:
        return DueGames(now, _DUE_RECORDS.decode(rows))
    except msgspec.ValidationError:
        return _one_by_one(now, rows)


async def unclaim(connection: Connection, games: Sequence[DueRecord | UnreadableRecord]) -> None:
    """Leave games that were claimed in this transaction as they were: nobody has seen the claim."""
    rows = [{name: getattr(game, name) for name in _BEFORE} for game in games]
    await connection.execute(_UNCLAIM, {"rows": rows})


async def show(connection: Connection, games: Collection[UUID]) -> list[Record]:
    """Return what memory is to have of locked games."""
    return [record_of(row) for row in await connection.execute(_SHOW, {"ids": uuid_array(games)})]


async def set_absent(connection: Connection, absent: Mapping[UUID, Sequence[int]]) -> None:
    """Note which seats are absent in games that are claimed, where that is not who has sent nothing."""
    rows = [{"game_id": game_id, "absent": seats} for game_id, seats in absent.items()]
    await connection.execute(_SET_ABSENT, {"rows": rows})


async def seconds_until_due(
    connection: Connection, since: datetime, spread: timedelta, shift: timedelta
) -> float | None:
    """Return how long after `since` the next turn may be claimed; None when no game plays."""
    values = {"since": since, "spread": spread, "shift": shift}
    seconds: float | None = (await connection.execute(_SOONEST, values)).scalar_one()
    return seconds


async def skip(connection: Connection, ticks: Mapping[UUID, datetime]) -> list[Record]:
    """Let locked games pass over the tick that a forced turn has replaced."""
    rows = [{"game_id": str(game_id), "at": at.isoformat()} for game_id, at in ticks.items()]
    return [record_of(row) for row in await connection.execute(_SKIP, {"rows": rows})]


async def look_again(
    connection: Connection, games: Collection[UUID], delay: timedelta, shift: timedelta
) -> list[Record]:
    """Have locked games looked at again after `delay`, as if they had not been looked at."""
    values = {"ids": uuid_array(games), "delay": delay, "shift": shift}
    return [record_of(row) for row in await connection.execute(_LOOK_AGAIN, values)]


def _one_by_one(now: datetime, rows: str) -> DueGames:
    """Read each record by itself, so that one which is not as expected holds up no other game."""
    due: list[DueRecord] = []
    unreadable: list[UnreadableRecord] = []
    for row in _ONE_BY_ONE.decode(rows):
        try:
            due.append(_DUE_RECORD.decode(row))
        except msgspec.ValidationError as error:
            unreadable.append(msgspec.structs.replace(_UNREADABLE.decode(row), error=str(error)))
    return DueGames(now, due, unreadable)
