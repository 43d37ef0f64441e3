"""Every statement about orders, as functions of a connection."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Boolean, Integer, Interval, LargeBinary, Row, SmallInteger, Text, Uuid, bindparam, select, text

from galaxy_contracts.runtime import StoredOrders, Submission
from galaxy_kernel.api import Connection, request_id
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.orders.domain import LEASE, OpenTurn
from galaxy_runtime.records.queries import record_of
from galaxy_runtime.tables import runtime_orders, runtime_records

_o, _r = runtime_orders.c, runtime_records.c
_COLUMNS = ", ".join(f"r.{name}" for name in Record.__struct_fields__)
_GAME, _TURN = bindparam("game_id", type_=Uuid), bindparam("turn", type_=Integer)

_ALL_FINAL = """NOT EXISTS (
    SELECT 1 FROM unnest(r.awaiting) AS waited (seat)
    WHERE waited.seat <> ALL (r.final) AND waited.seat <> :seat
        AND NOT coalesce(CAST(r.seats -> CAST(waited.seat AS text) ->> 'machine' AS boolean), false)
        AND NOT coalesce(CAST(r.seats -> CAST(waited.seat AS text) ->> 'vacant' AS boolean), false))"""
"""Whether every other awaited seat with a player has final orders."""

_PUT = text(f"""
    WITH record AS (
        SELECT game_id, epoch, turn FROM runtime_records AS r
        WHERE game_id = :game_id AND turn = :turn AND NOT ended AND orders_closed_at IS NULL
            AND (NOT playing OR skip_next OR next_turn_at > {NOW}) AND :seat = ANY (awaiting)
        FOR UPDATE
    ), stored AS (
        INSERT INTO runtime_orders AS o (game_id, epoch, turn, seat, orders, final, revision, account_id, submitted_at,
            request_id)
        SELECT game_id, epoch, turn, :seat, :orders, :final, 1, :account_id, {NOW}, :request_id FROM record
        WHERE coalesce(:expected, 0) = 0 OR EXISTS (
            SELECT 1 FROM runtime_orders AS o
            WHERE o.game_id = record.game_id AND o.epoch = record.epoch AND o.turn = record.turn AND o.seat = :seat)
        ON CONFLICT (game_id, epoch, turn, seat) DO UPDATE SET orders = excluded.orders, final = excluded.final,
            revision = o.revision + 1, account_id = excluded.account_id, submitted_at = excluded.submitted_at,
            request_id = excluded.request_id
        WHERE :expected IS NULL OR o.revision = :expected
        RETURNING revision
    )
    UPDATE runtime_records AS r SET
        sent = CASE WHEN :seat = ANY (r.sent) THEN r.sent ELSE r.sent || CAST(:seat AS smallint) END,
        final = CASE WHEN NOT :final THEN array_remove(r.final, CAST(:seat AS smallint))
            WHEN :seat = ANY (r.final) THEN r.final ELSE r.final || CAST(:seat AS smallint) END,
        next_turn_at = CASE WHEN r.playing AND :final AND r.run_when_final AND {_ALL_FINAL} THEN {NOW}
            ELSE r.next_turn_at END,
        trigger = CASE WHEN r.playing AND :final AND r.run_when_final AND {_ALL_FINAL} THEN 'final' ELSE r.trigger END,
        final_seat = CASE WHEN r.playing AND :final AND r.run_when_final AND {_ALL_FINAL} THEN :seat
            ELSE r.final_seat END
    FROM stored WHERE r.game_id = :game_id
    RETURNING stored.revision, r.trigger, {_COLUMNS}
""").bindparams(  # noqa: S608  constants
    _GAME,
    _TURN,
    SHIFT,
    bindparam("seat", type_=SmallInteger),
    bindparam("orders", type_=LargeBinary),
    bindparam("final", type_=Boolean),
    bindparam("expected", type_=Integer),
    bindparam("account_id", type_=Uuid),
    bindparam("request_id", type_=Text),
)

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


class Put(msgspec.Struct, frozen=True):
    """A set that was stored."""

    revision: int
    runs: bool
    """Whether the turn runs now."""
    record: Record


async def put(
    connection: Connection, game_id: UUID, seat: int, submission: Submission, document: bytes, shift: timedelta
) -> Put | None:
    """Store a set while its turn takes orders; None where it does not, or the stored revision is another."""
    values = {
        "game_id": game_id,
        "turn": submission.turn,
        "seat": seat,
        "orders": document,
        "final": submission.final,
        "expected": submission.expected_revision,
        "account_id": submission.account_id,
        "request_id": request_id(),
        "shift": shift,
    }
    row = (await connection.execute(_PUT, values)).one_or_none()
    return None if row is None else Put(row.revision, row.trigger == "final", record_of(row))


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
