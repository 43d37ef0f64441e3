"""Every statement about a record's life, as functions of a connection."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, bindparam, func, select, update
from sqlalchemy.types import Interval

from galaxy_contracts.runtime import Operation
from galaxy_kernel.api import Connection
from galaxy_runtime.caches import RECORD, Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.domain import schedule_from, seats_from
from galaxy_runtime.records.domain import ClockState
from galaxy_runtime.tables import runtime_operation_log, runtime_records

SHOWN = ", ".join(f"r.{each.name}" for each in RECORD)
"""What memory has of a record `r`, for a statement in text."""

_c = runtime_records.c
_log = runtime_operation_log.c
_IDS = bindparam("ids", type_=ARRAY(Uuid))
_LOCK = select(_c.game_id).where(_c.game_id == func.any(_IDS)).order_by(_c.game_id).with_for_update()
_NOW = (func.statement_timestamp() + bindparam("shift", type_=Interval)).label("now")
_CLOCK = (
    select(*(_c[name] for name in ClockState.__struct_fields__ if name != "now"), _NOW)
    .where(_c.game_id == bindparam("id", type_=Uuid))
    .with_for_update()
)


def seat_is(mark: str) -> str:
    """Return the condition that `waited.seat` of a record `r` has a mark, such as `machine`: the engine's own."""
    return f"coalesce(CAST(r.seats -> CAST(waited.seat AS text) ->> '{mark}' AS boolean), false)"


async def lock(connection: Connection, game_ids: Collection[UUID]) -> list[UUID]:
    """Lock records in the order of ids, and return the ids of those that there are."""
    return list((await connection.execute(_LOCK, {"ids": list(game_ids)})).scalars())


async def lock_clock(connection: Connection, game_id: UUID, time: DatabaseTime) -> ClockState | None:
    """Lock a record and return its clock."""
    row = (await connection.execute(_CLOCK, {"id": game_id, "shift": time.shift})).one_or_none()
    if row is None:
        return None
    values = row._asdict()
    values["seats"], values["schedule"] = seats_from(row.seats), schedule_from(row.schedule)
    values["awaiting"], values["final"] = tuple(row.awaiting), tuple(row.final)
    return ClockState(**values)


async def change(connection: Connection, game_id: UUID, values: Mapping[str, Any]) -> Record:
    """Change a locked record, and return what memory has of it."""
    statement = update(runtime_records).where(_c.game_id == game_id).values(**values).returning(*RECORD)
    return record_of((await connection.execute(statement)).one())


async def end_operation(
    connection: Connection, game_id: UUID, outcome: str, *, forced: bool = False, **error: str
) -> None:
    """End a game's open operation, which has lost its purpose. `forced`: only that of a forced turn."""
    statement = update(runtime_operation_log).where(_log.game_id == game_id, _log.finished_at.is_(None))
    if forced:
        statement = statement.where(_log.operation == Operation.FORCE_NEXT_TURN)
    await connection.execute(statement.values(outcome=outcome, finished_at=func.statement_timestamp(), **error))


def record_of(row: Row[Any]) -> Record:
    """Return a record of the columns `RECORD`."""
    values = row._asdict()
    values |= {name: tuple(values[name]) for name in ("awaiting", "sent", "final")}
    return Record(**{name: values[name] for name in Record.__struct_fields__})


_IN_USE = select(func.coalesce(_c.digest, _c.image)).where(~_c.ended).distinct()


async def images_in_use(connection: Connection) -> list[str]:
    """Return what the engines of games that go on are started from, sorted."""
    return sorted((await connection.execute(_IN_USE)).scalars())
