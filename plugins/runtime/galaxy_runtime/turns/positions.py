"""Positions as they are written and read: the row, the seats' reports, and what the owner of the game is told."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Integer, LargeBinary, Select, SmallInteger, Text, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_contracts.runtime import PositionMade, Trigger, TurnSummary
from galaxy_engine.messages import Position
from galaxy_kernel.api import Connection, new_id, prepared
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.tables import runtime_reports, runtime_turns

_INSERT = prepared(
    text(f"""
    WITH given AS (
        SELECT * FROM ROWS FROM (
            jsonb_to_recordset(:rows) AS (
                id uuid, game_id uuid, turn int, epoch int, awaiting smallint[], phase text, eliminated smallint[],
                finished boolean, result jsonb, trigger text, due_at timestamptz, claimed_at timestamptz,
                duration_ms int, seed text, absent smallint[], vacant smallint[], missed_ticks int,
                engine_version_id uuid, generation int, request_id text),
            unnest(CAST(:states AS text[])), unnest(CAST(:digests AS bytea[])), unnest(CAST(:publics AS text[])),
            unnest(CAST(:orders_digests AS bytea[]))
        ) AS given (
            id, game_id, turn, epoch, awaiting, phase, eliminated, finished, result, trigger, due_at, claimed_at,
            duration_ms, seed, absent, vacant, missed_ticks, engine_version_id, generation, request_id,
            state, state_digest, public_report, orders_digest)
    ), reports AS (
        INSERT INTO runtime_reports (turn_id, seat, game_id, turn, report)
        SELECT r.turn_id, r.seat, r.game_id, r.turn, convert_to(r.report, 'UTF8')
        FROM ROWS FROM (
            jsonb_to_recordset(:seats) AS (turn_id uuid, seat smallint, game_id uuid, turn int),
            unnest(CAST(:reports AS text[]))
        ) AS r (turn_id, seat, game_id, turn, report)
    )
    INSERT INTO runtime_turns (
        id, game_id, turn, epoch, state, state_digest, public_report, awaiting, phase, eliminated, finished, result,
        trigger, due_at, claimed_at, made_at, duration_ms, seed, absent, vacant, missed_ticks, orders_digest,
        engine_version_id, generation, request_id)
    SELECT id, game_id, turn, epoch, convert_to(state, 'UTF8'), state_digest, convert_to(public_report, 'UTF8'),
        awaiting, phase, eliminated, finished, result, trigger, due_at, claimed_at, {NOW}, duration_ms, seed, absent,
        vacant, missed_ticks, orders_digest, engine_version_id, generation, request_id
    FROM given
""").bindparams(  # noqa: S608  a constant
        SHIFT,
        bindparam("rows", type_=JSONB),
        bindparam("seats", type_=JSONB),
        *(bindparam(name, type_=ARRAY(LargeBinary)) for name in ("digests", "orders_digests")),
        *(bindparam(name, type_=ARRAY(Text)) for name in ("states", "publics", "reports")),
    )
)
"""What is JSON travels as text: as bytes it is written in hexadecimal digits."""

_t, _r = runtime_turns.c, runtime_reports.c
_GAME, _TURN = bindparam("game_id", type_=Uuid), bindparam("turn", type_=Integer)
_CURRENT = (_t.game_id == _GAME, _t.superseded_at.is_(None))
_SUMMARIES: Select[Any] = (
    select(*(_t[name] for name in TurnSummary.__struct_fields__))
    .where(*_CURRENT)
    .order_by(_t.turn.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_COUNT = select(func.count()).select_from(runtime_turns).where(*_CURRENT)
_REPORT = select(_r.report).where(
    _r.game_id == _GAME,
    _r.seat == bindparam("seat", type_=SmallInteger),
    _r.turn == _TURN,
    _r.turn_id == select(_t.id).where(*_CURRENT, _t.turn == _TURN).scalar_subquery(),
)
_PUBLIC = select(_t.public_report).where(*_CURRENT, _t.turn == _TURN)


class NewPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position that an engine made, checked against its game, and the run that made it."""

    game_id: UUID
    epoch: int
    position: Position
    seats: tuple[int, ...]
    """Every seat of the game."""
    trigger: Trigger
    final_seat: int | None = None
    due_at: datetime | None = None
    claimed_at: datetime | None = None
    duration: timedelta
    seed: str
    absent: tuple[int, ...] = ()
    """As the engine was told."""
    vacant: tuple[int, ...] = ()
    missed_ticks: int = 0
    orders_digest: bytes | None = None
    engine_version_id: UUID
    generation: int
    request_id: str

    @property
    def awaiting(self) -> tuple[int, ...]:
        """Seats that may order now; none once the game is finished."""
        return () if self.position.finished else self.position.awaited(self.seats)

    def told(self, next_turn_at: datetime | None) -> PositionMade:
        """Return what the owner of the game is told."""
        position = self.position
        return PositionMade(
            game_id=self.game_id,
            turn=position.turn,
            trigger=self.trigger,
            final_seat=self.final_seat,
            awaiting=self.awaiting,
            absent=tuple(seat for seat in self.absent if seat not in self.vacant),
            eliminated=tuple(sorted(position.eliminated)),
            phase=position.phase,
            finished=position.finished,
            result=None if position.result is None else msgspec.json.decode(msgspec.json.encode(position.result)),
            next_turn_at=next_turn_at,
        )


async def insert_positions(connection: Connection, positions: Sequence[NewPosition], shift: timedelta) -> None:
    """Insert positions of different games and their reports, in one statement.

    Raises IntegrityError where a game has a position of this number: no turn twice.
    """
    rows, seats, reports = [], [], []
    for each in positions:
        row = _row(each)
        rows.append(row)
        for seat, report in sorted(each.position.reports.items()):
            seats.append({"turn_id": row["id"], "seat": seat, "game_id": row["game_id"], "turn": row["turn"]})
            reports.append(_text(report))
    states = [memoryview(each.position.state) for each in positions]
    values = {
        "rows": rows,
        "seats": seats,
        "reports": reports,
        "states": [str(state, "utf-8") for state in states],
        "digests": [hashlib.sha256(state).digest() for state in states],
        "publics": [_text(each.position.spectators_report) for each in positions],
        "orders_digests": [each.orders_digest for each in positions],
        "shift": shift,
    }
    await connection.execute(_INSERT, values)


async def list_positions(
    connection: Connection, game_id: UUID, limit: int, offset: int
) -> tuple[list[TurnSummary], int]:
    """Return a page of a game's positions, the newest first, and how many there are."""
    rows = await connection.execute(_SUMMARIES, {"game_id": game_id, "limit": limit, "offset": offset})
    count: int = (await connection.execute(_COUNT, {"game_id": game_id})).scalar_one()
    return [_summary(row._asdict()) for row in rows], count


async def find_report(connection: Connection, game_id: UUID, turn: int, seat: int) -> msgspec.Raw | None:
    """Return a seat's report on a position."""
    values = {"game_id": game_id, "turn": turn, "seat": seat}
    return _raw((await connection.execute(_REPORT, values)).scalar_one_or_none())


async def find_public_report(connection: Connection, game_id: UUID, turn: int) -> msgspec.Raw | None:
    """Return what anybody may know of a position."""
    return _raw((await connection.execute(_PUBLIC, {"game_id": game_id, "turn": turn})).scalar_one_or_none())


def _summary(values: dict[str, Any]) -> TurnSummary:
    values |= {name: tuple(values[name]) for name in ("absent", "eliminated")}
    return TurnSummary(**{**values, "trigger": Trigger(values["trigger"])})


def _raw(report: bytes | None) -> msgspec.Raw | None:
    return None if report is None else msgspec.Raw(bytes(report))


def _row(made: NewPosition) -> dict[str, Any]:
    position = made.position
    return {
        "id": new_id(),
        "game_id": made.game_id,
        "turn": position.turn,
        "epoch": made.epoch,
        "awaiting": made.awaiting,
        "phase": position.phase,
        "eliminated": sorted(position.eliminated),
        "finished": position.finished,
        "result": position.result,
        "trigger": made.trigger,
        "due_at": made.due_at,
        "claimed_at": made.claimed_at,
        "duration_ms": round(made.duration / timedelta(milliseconds=1)),
        "seed": made.seed,
        "absent": made.absent,
        "vacant": made.vacant,
        "missed_ticks": made.missed_ticks,
        "engine_version_id": made.engine_version_id,
        "generation": made.generation,
        "request_id": made.request_id,
    }


def _text(report: msgspec.Raw | None) -> str | None:
    return None if report is None else str(memoryview(report), "utf-8")
