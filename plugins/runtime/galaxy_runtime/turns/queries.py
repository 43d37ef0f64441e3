"""Every statement about turns, as functions of a connection. "Now" is the database's clock, shifted only by tests."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Integer, Interval, Row, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_contracts.runtime import Trigger
from galaxy_kernel.api import Connection
from galaxy_runtime.domain import schedule_from, seats_from
from galaxy_runtime.turns.domain import LEASE, DueRecord

_SHIFT = bindparam("shift", type_=Interval)
_IDS = bindparam("ids", type_=ARRAY(Uuid))

_DUE = text("""
    SELECT r.game_id, r.turn, r.epoch, r.seats, r.awaiting, r.phase, r.schedule, r.anchor, r.policy, r.policy_options,
        r.trigger, r.skip_next, r.next_turn_at, r.due_at, r.made_at, r.postponed, r.turn_attempts,
        (statement_timestamp() + :shift) AS now,
        (SELECT jsonb_object_agg(o.seat, o.final) FROM runtime_orders AS o
            WHERE o.game_id = r.game_id AND o.epoch = r.epoch AND o.turn = r.turn) AS sent
    FROM runtime_records AS r
    WHERE r.playing AND r.next_turn_at <= (statement_timestamp() + :shift)
    ORDER BY r.next_turn_at LIMIT :limit
    FOR UPDATE OF r SKIP LOCKED
""").bindparams(_SHIFT)

_SOONEST = text(
    "SELECT CAST(extract(epoch FROM min(next_turn_at) - (statement_timestamp() + :shift)) AS float8)"
    " FROM runtime_records WHERE playing"
).bindparams(_SHIFT)

_CLAIM = text("""
    UPDATE runtime_records SET turn_lease = turn_lease + 1, turn_claimed_at = (statement_timestamp() + :shift),
        due_at = coalesce(due_at, next_turn_at), next_turn_at = (statement_timestamp() + :shift) + :lease,
        turn_attempts = turn_attempts + 1,
        orders_closed_at = coalesce(orders_closed_at, (statement_timestamp() + :shift))
    WHERE game_id = ANY(:ids)
    RETURNING game_id, turn_lease, due_at, turn_claimed_at
""").bindparams(_SHIFT, _IDS, bindparam("lease", type_=Interval))

_SKIP = text("""
    UPDATE runtime_records AS r SET skip_next = false, next_turn_at = new.at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS new (game_id, at)
    WHERE r.game_id = new.game_id
""").bindparams(_IDS, bindparam("times", type_=ARRAY(Text)))

_RENEW = text("""
    UPDATE runtime_records AS r SET next_turn_at = (statement_timestamp() + :shift) + :lease
    FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS int[])) AS mine (game_id, lease)
    WHERE r.game_id = mine.game_id AND r.turn_lease = mine.lease AND r.turn_claimed_at IS NOT NULL
    RETURNING r.game_id
""").bindparams(_SHIFT, _IDS, bindparam("leases", type_=ARRAY(Integer)), bindparam("lease", type_=Interval))

_INPUT = text("""
    SELECT r.game_id, r.turn, r.epoch, r.seed, r.options, r.run_when_final, r.final_seat, r.generation,
        r.engine_version_id, t.id AS position_id, t.state,
        (SELECT array_agg(o.seat ORDER BY o.seat) FROM runtime_orders AS o
            WHERE o.game_id = r.game_id AND o.epoch = r.epoch AND o.turn = r.turn) AS order_seats,
        (SELECT array_agg(o.orders ORDER BY o.seat) FROM runtime_orders AS o
            WHERE o.game_id = r.game_id AND o.epoch = r.epoch AND o.turn = r.turn) AS order_sets
    FROM runtime_records AS r
    JOIN runtime_turns AS t ON t.game_id = r.game_id AND t.turn = r.turn AND t.superseded_at IS NULL
    WHERE r.game_id = :game_id AND r.turn_lease = :lease AND r.turn_claimed_at IS NOT NULL
""").bindparams(bindparam("game_id", type_=Uuid), bindparam("lease", type_=Integer))

_GIVE_BACK = text("""
    UPDATE runtime_records SET next_turn_at = (statement_timestamp() + :shift) + :delay, turn_claimed_at = NULL,
        turn_failure = :failure, turn_attempts = turn_attempts - :uncounted
    WHERE game_id = :game_id AND turn_lease = :lease AND turn_claimed_at IS NOT NULL
    RETURNING turn_attempts
""").bindparams(
    _SHIFT,
    bindparam("game_id", type_=Uuid),
    bindparam("lease", type_=Integer),
    bindparam("delay", type_=Interval),
    bindparam("failure", type_=Text),
    bindparam("uncounted", type_=Integer),
)

_POSTPONE = text("""
    UPDATE runtime_records SET next_turn_at = CAST(:until AS timestamptz), remind_at = NULL, postponed = postponed + 1,
        seats = :seats
    WHERE game_id = :game_id
""").bindparams(bindparam("game_id", type_=Uuid), bindparam("until", type_=Text), bindparam("seats", type_=JSONB))

_QUARANTINE = text("""
    UPDATE runtime_records SET playing = false, next_turn_at = NULL, due_at = NULL, remind_at = NULL, remaining = NULL,
        orders_closed_at = NULL, turn_claimed_at = NULL, turn_failure = :failure
    WHERE game_id = :game_id AND (CAST(:lease AS int) IS NULL OR turn_lease = :lease)
    RETURNING game_id
""").bindparams(bindparam("game_id", type_=Uuid), bindparam("lease", type_=Integer), bindparam("failure", type_=Text))

_ADVANCE = text("""
    UPDATE runtime_records AS r SET turn = r.turn + 1, awaiting = new.awaiting, phase = new.phase, seats = new.seats,
        playing = r.playing AND NOT new.finished,
        next_turn_at = CASE WHEN r.playing AND NOT new.finished THEN new.next_turn_at END,
        remaining = CASE WHEN r.playing OR new.finished THEN NULL ELSE r.remaining END,
        remind_at = CASE WHEN r.playing AND NOT new.finished THEN new.remind_at END,
        due_at = NULL, orders_closed_at = NULL, turn_claimed_at = NULL, turn_attempts = 0, turn_failure = NULL,
        postponed = 0, trigger = 'scheduled', final_seat = NULL, anchor = coalesce(new.anchor, r.anchor),
        skip_next = r.skip_next AND NOT new.finished,
        made_at = (statement_timestamp() + :shift), used_at = (statement_timestamp() + :shift),
        wanted = CASE WHEN new.finished THEN 'down' ELSE r.wanted END
    FROM jsonb_to_recordset(:rows) AS new (
        game_id uuid, lease int, turn int, awaiting smallint[], phase text, seats jsonb, finished boolean,
        next_turn_at timestamptz, remind_at timestamptz, anchor timestamptz)
    WHERE r.game_id = new.game_id AND r.turn_lease = new.lease AND r.turn = new.turn AND r.turn_claimed_at IS NOT NULL
    RETURNING r.game_id, r.playing, r.next_turn_at
""").bindparams(_SHIFT, bindparam("rows", type_=JSONB))


class Claim(msgspec.Struct, frozen=True):
    """A claimed turn: what it commits holds only for this lease."""

    game_id: UUID
    lease: int
    due_at: datetime
    claimed_at: datetime


async def due(connection: Connection, limit: int, shift: timedelta) -> tuple[list[DueRecord], datetime | None]:
    """Lock and return the games whose time has come, the longest due first, and the database's time."""
    rows = (await connection.execute(_DUE, {"limit": limit, "shift": shift})).all()
    return [_record(row) for row in rows], rows[0].now if rows else None


async def seconds_until_due(connection: Connection, shift: timedelta) -> float | None:
    """Return how long until the next turn is due; negative when it is, None when no game plays."""
    seconds: float | None = (await connection.execute(_SOONEST, {"shift": shift})).scalar_one()
    return seconds


async def claim(connection: Connection, games: Collection[UUID], shift: timedelta) -> list[Claim]:
    """Claim locked games: their orders close, the attempt counts, the next look at them is a lease away."""
    rows = await connection.execute(_CLAIM, {"ids": list(games), "lease": LEASE, "shift": shift})
    return [Claim(*row) for row in rows]


async def skip(connection: Connection, ticks: Mapping[UUID, datetime]) -> None:
    """Let locked games pass over the tick that a forced turn has replaced."""
    await connection.execute(_SKIP, {"ids": list(ticks), "times": [at.isoformat() for at in ticks.values()]})


async def renew(connection: Connection, claims: Sequence[Claim], shift: timedelta) -> set[UUID]:
    """Renew leases; return the games whose claims are still held."""
    values = {
        "ids": [each.game_id for each in claims],
        "leases": [each.lease for each in claims],
        "lease": LEASE,
        "shift": shift,
    }
    return set((await connection.execute(_RENEW, values)).scalars())


async def read_input(connection: Connection, held: Claim) -> Row[Any] | None:
    """Return what a claimed turn is computed from; None when the claim is no longer held."""
    return (await connection.execute(_INPUT, {"game_id": held.game_id, "lease": held.lease})).one_or_none()


async def give_back(
    connection: Connection, held: Claim, delay: timedelta, failure: str, shift: timedelta, *, counts: bool
) -> int | None:
    """Let a claimed turn be tried again after `delay`; return its attempts so far, None when it is no longer held.

    `counts` is false where the game is not at fault: no engine could be had.
    """
    values = {
        "game_id": held.game_id,
        "lease": held.lease,
        "delay": delay,
        "failure": failure,
        "uncounted": 0 if counts else 1,
        "shift": shift,
    }
    attempts: int | None = (await connection.execute(_GIVE_BACK, values)).scalar_one_or_none()
    return attempts


async def postpone(connection: Connection, game_id: UUID, until: datetime, seats: Any) -> None:
    """Move a locked game's deadline, with what it costs its seats."""
    await connection.execute(_POSTPONE, {"game_id": game_id, "until": until.isoformat(), "seats": seats})


async def quarantine(connection: Connection, game_id: UUID, lease: int | None, failure: str) -> bool:
    """Stop a game's clock and open its orders; return whether it was still held under `lease` (None: locked)."""
    result = await connection.execute(_QUARANTINE, {"game_id": game_id, "lease": lease, "failure": failure})
    return result.one_or_none() is not None


async def advance(connection: Connection, rows: Sequence[dict[str, Any]], shift: timedelta) -> dict[UUID, Row[Any]]:
    """Move games to their next turn, those whose claims are held; return their clocks."""
    result = await connection.execute(_ADVANCE, {"rows": list(rows), "shift": shift})
    return {row.game_id: row for row in result}


def _record(row: Row[Any]) -> DueRecord:
    return DueRecord(
        game_id=row.game_id,
        turn=row.turn,
        epoch=row.epoch,
        seats=seats_from(row.seats),
        awaiting=tuple(row.awaiting),
        phase=row.phase,
        schedule=schedule_from(row.schedule),
        anchor=row.anchor,
        policy=row.policy,
        policy_options=row.policy_options,
        trigger=Trigger(row.trigger),
        skip_next=row.skip_next,
        next_turn_at=row.next_turn_at,
        due_at=row.due_at,
        made_at=row.made_at,
        postponed=row.postponed,
        turn_attempts=row.turn_attempts,
        sent={int(seat): final for seat, final in (row.sent or {}).items()},
    )
