"""Every statement about orders, as functions of a connection."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Integer, Interval, LargeBinary, Row, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_contracts.runtime import StoredOrders, Submission, Trigger
from galaxy_kernel.api import Connection, prepared, uuid_array
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.orders.domain import LEASE, OpenTurn
from galaxy_runtime.records.queries import SHOWN, record_of, seat_is
from galaxy_runtime.tables import runtime_orders, runtime_records

_o, _r = runtime_orders.c, runtime_records.c
_GAME, _TURN = bindparam("game_id", type_=Uuid), bindparam("turn", type_=Integer)
_ROWS, _GAMES = bindparam("rows", type_=JSONB), bindparam("games", type_=Text)
"""`games` are those of the rows: joined alone, the planner reads the whole of a small table."""

_OPEN = f"""
    SELECT r.game_id FROM runtime_records AS r
    JOIN jsonb_to_recordset(:rows) AS given (game_id uuid, turn int, seat smallint)
        ON r.game_id = given.game_id AND r.turn = given.turn
    WHERE r.game_id = ANY (CAST(:games AS uuid[])) AND NOT r.ended AND r.orders_closed_at IS NULL
        AND (NOT r.playing OR r.skip_next OR r.next_turn_at > {NOW})
        AND given.seat = ANY (r.awaiting)
"""  # noqa: S608  constants

_LOCK_OPEN = prepared(
    text(f"""
    WITH locked AS ({_OPEN} FOR UPDATE OF r) SELECT game_id, true AS locked FROM locked
""").bindparams(_ROWS, _GAMES, SHIFT)  # noqa: S608  constants
)

_LOCK_FREE = prepared(
    text(f"""
    WITH open AS ({_OPEN}), locked AS ({_OPEN} FOR UPDATE OF r SKIP LOCKED)
    SELECT open.game_id, locked.game_id IS NOT NULL AS locked
    FROM open LEFT JOIN locked ON locked.game_id = open.game_id
""").bindparams(_ROWS, _GAMES, SHIFT)  # noqa: S608  constants
)
"""Without waiting for locks."""

_ALL_FINAL = f"""r.playing AND stored.final AND r.run_when_final AND NOT EXISTS (
    SELECT 1 FROM unnest(r.awaiting) AS waited (seat)
    WHERE waited.seat <> ALL (r.final) AND waited.seat <> stored.seat
        AND NOT {seat_is("machine")} AND NOT {seat_is("vacant")})"""  # noqa: S608  constants
"""Whether every other awaited seat with a player has final orders, in a game that waits for no more."""

_PUT = prepared(
    text(f"""
    WITH given AS (
        SELECT * FROM ROWS FROM (
            jsonb_to_recordset(:rows) AS (
                game_id uuid, turn int, seat smallint, final boolean, expected int, account_id uuid, request_id text),
            unnest(CAST(:sets AS bytea[]))
        ) AS given (game_id, turn, seat, final, expected, account_id, request_id, orders)
    ), stored AS (
        INSERT INTO runtime_orders AS o (game_id, epoch, turn, seat, orders, final, revision, account_id, submitted_at,
            request_id)
        SELECT g.game_id, r.epoch, g.turn, g.seat, g.orders, g.final, 1, g.account_id, {NOW}, g.request_id
        FROM given AS g JOIN runtime_records AS r ON r.game_id = g.game_id
        LEFT JOIN runtime_orders AS old
            ON old.game_id = g.game_id AND old.epoch = r.epoch AND old.turn = g.turn AND old.seat = g.seat
        WHERE g.expected IS NULL OR g.expected = coalesce(old.revision, 0)
        ON CONFLICT (game_id, epoch, turn, seat) DO UPDATE SET orders = excluded.orders, final = excluded.final,
            revision = o.revision + 1, account_id = excluded.account_id, submitted_at = excluded.submitted_at,
            request_id = excluded.request_id
        RETURNING o.game_id, o.seat, o.final, o.revision
    )
    UPDATE runtime_records AS r SET
        sent = CASE WHEN stored.seat = ANY (r.sent) THEN r.sent ELSE r.sent || stored.seat END,
        final = CASE WHEN NOT stored.final THEN array_remove(r.final, stored.seat)
            WHEN stored.seat = ANY (r.final) THEN r.final ELSE r.final || stored.seat END,
        next_turn_at = CASE WHEN {_ALL_FINAL} THEN {NOW} ELSE r.next_turn_at END,
        trigger = CASE WHEN {_ALL_FINAL} THEN 'final' ELSE r.trigger END,
        final_seat = CASE WHEN {_ALL_FINAL} THEN stored.seat ELSE r.final_seat END
    FROM stored WHERE r.game_id = ANY (CAST(:games AS uuid[])) AND r.game_id = stored.game_id
    RETURNING stored.revision, r.trigger, {SHOWN}
""").bindparams(_ROWS, _GAMES, SHIFT, bindparam("sets", type_=ARRAY(LargeBinary)))  # noqa: S608  constants
)
"""The records are locked, by a statement before this one: so nobody else changes these sets meanwhile."""

_BORROW = text("""
    WITH taken AS (
        UPDATE runtime_records SET order_lease = order_lease + 1, order_lease_until = statement_timestamp() + :lease
        WHERE game_id = :game_id AND turn = :turn AND NOT ended AND orders_closed_at IS NULL
            AND (order_lease_until IS NULL OR order_lease_until <= statement_timestamp())
        RETURNING game_id, turn, order_lease
    )
    SELECT taken.order_lease, t.state FROM taken
    JOIN runtime_turns AS t ON t.game_id = taken.game_id AND t.turn = taken.turn AND t.superseded_at IS NULL
""").bindparams(_GAME, _TURN, bindparam("lease", type_=Interval))

_GIVE_BACK = text("""
    UPDATE runtime_records SET order_lease_until = NULL WHERE game_id = :game_id AND order_lease = :lease
""").bindparams(_GAME, bindparam("lease", type_=Integer))

_OPEN_TURN = text(f"""
    SELECT turn, orders_closed_at IS NOT NULL AS closed, awaiting, ended,
        playing AND NOT skip_next AND next_turn_at <= {NOW} AS due
    FROM runtime_records WHERE game_id = :game_id AND made_at IS NOT NULL
""").bindparams(_GAME, SHIFT)  # noqa: S608  constants


class NewSet(msgspec.Struct, frozen=True, kw_only=True):
    """A set that the engine has accepted, to be stored."""

    game_id: UUID
    seat: int
    submission: Submission
    document: bytes
    """Its orders, as they are kept."""
    request_id: str


class Put(msgspec.Struct, frozen=True):
    """A set that was stored."""

    revision: int
    runs: bool
    """Whether the turn runs now."""
    record: Record


async def put(
    connection: Connection, sets: Sequence[NewSet], shift: timedelta, *, wait: bool
) -> tuple[dict[UUID, Put], Collection[UUID]]:
    """Store sets of different games; return, by game, those whose turns take orders and whose revisions fit.

    Beside them return the games that were passed over, since somebody else had locked their records, unless told to
    wait: for the lock of a single one.
    """
    rows = {each.game_id: _row(each) for each in sets}
    statement = _LOCK_OPEN if wait else _LOCK_FREE
    found = (
        await connection.execute(statement, {"rows": list(rows.values()), "games": uuid_array(rows), "shift": shift})
    ).all()
    locked = {row.game_id for row in found if row.locked}
    passed_over = {row.game_id for row in found if not row.locked}
    accepted = [each for each in sets if each.game_id in locked]
    if not accepted:
        return {}, passed_over
    values = {
        "rows": [rows[each.game_id] for each in accepted],
        "games": uuid_array(locked),
        "sets": [each.document for each in accepted],
        "shift": shift,
    }
    stored = await connection.execute(_PUT, values)
    puts = {row.game_id: Put(row.revision, row.trigger == Trigger.FINAL, record_of(row)) for row in stored}
    return puts, passed_over


def _row(given: NewSet) -> dict[str, Any]:
    submission = given.submission
    return {
        "game_id": str(given.game_id),
        "turn": submission.turn,
        "seat": given.seat,
        "final": submission.final,
        "expected": submission.expected_revision,
        "account_id": str(submission.account_id),
        "request_id": given.request_id,
    }


async def borrow(connection: Connection, game_id: UUID, turn: int) -> Row[Any] | None:
    """Acquire the lease on an engine's memory and return it with the position to load.

    None while another has it, or where the turn does not take orders any more.
    """
    values = {"game_id": game_id, "turn": turn, "lease": LEASE}
    return (await connection.execute(_BORROW, values)).one_or_none()


async def give_back(connection: Connection, game_id: UUID, lease: int) -> None:
    """End the lease on an engine's memory."""
    await connection.execute(_GIVE_BACK, {"game_id": game_id, "lease": lease})


async def find_open_turn(connection: Connection, game_id: UUID, shift: timedelta) -> OpenTurn | None:
    """Return what decides whether a seat may order now."""
    row = (await connection.execute(_OPEN_TURN, {"game_id": game_id, "shift": shift})).one_or_none()
    return None if row is None else OpenTurn(**row._asdict())


async def find_orders(connection: Connection, game_id: UUID, seat: int) -> StoredOrders | None:
    """Return a seat's set for the current turn."""
    statement = (
        select(_o.turn, _o.orders, _o.final, _o.revision, _o.submitted_at)
        .join(runtime_records, (_r.game_id == _o.game_id) & (_r.epoch == _o.epoch) & (_r.turn == _o.turn))
        .where(_o.game_id == game_id, _o.seat == seat)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return StoredOrders(**{**row._asdict(), "orders": msgspec.Raw(bytes(row.orders))})
