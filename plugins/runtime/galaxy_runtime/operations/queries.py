"""Every statement about operations, as functions of a connection."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Row, Uuid, bindparam, case, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import Interval

from galaxy_contracts.runtime import Actor, Launch, Operation
from galaxy_kernel.api import Connection, Paging, fetch_page, new_id, request_id
from galaxy_runtime.caches import RECORD, Record
from galaxy_runtime.domain import schedule_from, schedule_json, seats_from, seats_json, seats_of
from galaxy_runtime.operations.domain import HUNG_AFTER, LEASE, Claim, NewGame
from galaxy_runtime.records.queries import record_of
from galaxy_runtime.tables import runtime_operation_log, runtime_records, runtime_turns

_r, _log, _t = runtime_records.c, runtime_operation_log.c, runtime_turns.c
_now = func.statement_timestamp()
_open = _log.finished_at.is_(None)

_RENEW = text("""
    UPDATE runtime_operation_log AS o SET lease_until = statement_timestamp() + :lease
    FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS int[])) AS mine (id, lease)
    WHERE o.id = mine.id AND o.lease = mine.lease AND o.finished_at IS NULL
    RETURNING o.id, o.lease
""").bindparams(
    bindparam("ids", type_=ARRAY(Uuid)), bindparam("leases", type_=ARRAY(Integer)), bindparam("lease", type_=Interval)
)


async def insert_record(
    connection: Connection, launch: Launch, image: str, digest: str | None, seed: bytes
) -> Record | None:
    """Insert the record of a game, or prepare that of one which could not be started for another try.

    That one has the next generation and its old seed. None where the game was started, or has ended.
    """
    values = {
        "engine_version_id": launch.engine_version_id,
        "image": image,
        "digest": digest,
        "seats": seats_json(seats_of(launch.seats)),
        "options": dict(launch.options),
        "schedule": schedule_json(launch.schedule),
        "run_when_final": launch.run_when_final,
        "policy": launch.policy,
        "policy_options": dict(launch.policy_options),
        "request_id": request_id(),
    }
    again = {
        "wanted": "up",
        "status": "none",
        "failure": None,
        "failure_detail": None,
        "crashes": 0,
        "not_before": None,
        "generation": _r.generation_issued + 1,
        "generation_issued": _r.generation_issued + 1,
        "handle": None,
        "address": None,
        "revision": _r.revision + 1,
    }
    statement = (
        insert(runtime_records)
        .values(game_id=launch.game_id, seed=seed, **values)
        .on_conflict_do_update(index_elements=[_r.game_id], set_=values | again, where=_r.made_at.is_(None) & ~_r.ended)
        .returning(*RECORD)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else record_of(row)


async def insert_operation(
    connection: Connection, game_id: UUID, operation: Operation, actor: Actor, given: Mapping[str, Any]
) -> tuple[UUID, bool]:
    """Insert an operation; return its id, or that of the open one, and whether it was inserted."""
    made = new_id()
    statement = (
        insert(runtime_operation_log)
        .values(
            id=made,
            game_id=game_id,
            operation=operation,
            actor_kind=actor.kind,
            actor_id=actor.id,
            input=dict(given),
            request_id=request_id(),
        )
        .on_conflict_do_nothing(index_elements=[_log.game_id], index_where=_open)
        .returning(_log.id)
    )
    if (await connection.execute(statement)).first() is not None:
        return made, True
    found = select(_log.id).where(_log.game_id == game_id, _open)
    return (await connection.execute(found)).scalar_one(), False


async def supersede_hung(connection: Connection, game_id: UUID) -> bool:
    """End a game's open operation if it is open for long; return whether there was one."""
    statement = (
        update(runtime_operation_log)
        .where(_log.game_id == game_id, _open, _log.started_at < _now - literal(HUNG_AFTER, Interval))
        .values(outcome="superseded", finished_at=_now)
        .returning(_log.id)
    )
    return (await connection.execute(statement)).first() is not None


async def claim(connection: Connection, limit: int) -> list[Claim]:
    """Claim operations that nobody works at, the oldest first. A forced turn is the turns' business."""
    free = or_(_log.lease_until.is_(None), _log.lease_until <= _now)
    waiting = (
        select(_log.id)
        .where(_open, free, _log.operation != Operation.FORCE_NEXT_TURN)
        .order_by(_log.started_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    columns = [_log[name] for name in Claim.__struct_fields__]
    statement = (
        update(runtime_operation_log)
        .where(_log.id.in_(waiting))
        .values(
            lease=_log.lease + 1,
            lease_until=_now + literal(LEASE, Interval),
            taken_up=_log.taken_up + case((_log.lease > 0, 1), else_=0),
        )
        .returning(*columns)
    )
    rows = [row._asdict() for row in await connection.execute(statement)]
    return [Claim(**{**row, "operation": Operation(row["operation"])}) for row in rows]


async def renew(connection: Connection, held: Sequence[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
    """Renew leases, and return those that are still held."""
    values = {"ids": [each for each, _ in held], "leases": [lease for _, lease in held], "lease": LEASE}
    return {(row.id, row.lease) for row in await connection.execute(_RENEW, values)}


async def release(connection: Connection, held: Claim) -> None:
    """Let another process take an operation up at once."""
    await connection.execute(_held(held).values(lease_until=None))


async def step(connection: Connection, held: Claim, name: str) -> bool:
    """Write what is done next; False where the operation is somebody else's, or ended."""
    return (await connection.execute(_held(held).values(step=name).returning(_log.id))).first() is not None


async def finish(connection: Connection, held: Claim, **values: Any) -> bool:
    """End an operation; False where it is somebody else's, or ended."""
    statement = _held(held).values(finished_at=_now, lease_until=None, **values).returning(_log.id)
    return (await connection.execute(statement)).first() is not None


async def find_new_game(connection: Connection, game_id: UUID) -> NewGame | None:
    """Return what a game begins with; None where it was begun, or has ended."""
    columns = [_r[name] for name in NewGame.__struct_fields__]
    statement = select(*columns).where(_r.game_id == game_id, _r.made_at.is_(None), ~_r.ended)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    values = row._asdict()
    return NewGame(**{**values, "seats": seats_from(row.seats), "schedule": schedule_from(row.schedule)})


async def find_snapshot(connection: Connection, game_id: UUID, *, back: int = 0) -> Any:
    """Return turn, state and digest of a game's position, or of one `back` turns before it; None where that is gone."""
    statement = (
        select(_t.turn, _t.state, _t.state_digest, _t.seed, _t.absent, _t.vacant, _r.seats, _r.epoch, _r.awaiting)
        .join(runtime_records, _r.game_id == _t.game_id)
        .where(_t.game_id == game_id, _t.turn == _r.turn - back, _t.superseded_at.is_(None), _t.state.is_not(None))
    )
    return (await connection.execute(statement)).one_or_none()


async def turn_runs(connection: Connection, game_id: UUID) -> bool:
    """Return whether a process is working at the game's turn."""
    claimed = select(_r.game_id).where(_r.game_id == game_id, _r.turn_claimed_at.is_not(None))
    return (await connection.execute(claimed)).first() is not None


async def find_version(connection: Connection, game_id: UUID) -> UUID | None:
    """Return the engine version of a game that has not ended."""
    statement = select(_r.engine_version_id).where(_r.game_id == game_id, ~_r.ended)
    version: UUID | None = (await connection.execute(statement)).scalar_one_or_none()
    return version


async def find_crashes(connection: Connection, game_id: UUID) -> int:
    """Return how often in a row a game's engine has ended, or could not be started."""
    crashes: int = (await connection.execute(select(_r.crashes).where(_r.game_id == game_id))).scalar_one()
    return crashes


async def list_records(
    connection: Connection, paging: Paging, *, status: str | None, wanted: str | None, ended: bool | None
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of records, the newest first, and how many there are."""
    statement = select(*_SHOWN).order_by(_r.created_at.desc(), _r.game_id.desc())
    if status is not None:
        statement = statement.where(_r.status == status)
    if wanted is not None:
        statement = statement.where(_r.wanted == wanted)
    if ended is not None:
        statement = statement.where(_r.ended == literal(ended))
    return await fetch_page(connection, statement, paging)


async def find_shown(connection: Connection, game_id: UUID) -> Row[Any] | None:
    """Return a record as operators see it."""
    row: Row[Any] | None = (await connection.execute(select(*_SHOWN).where(_r.game_id == game_id))).one_or_none()
    return row


async def list_operations(connection: Connection, game_id: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of a game's operations, the newest first, and how many there are."""
    statement = select(runtime_operation_log).where(_log.game_id == game_id)
    return await fetch_page(connection, statement.order_by(_log.started_at.desc(), _log.id.desc()), paging)


async def list_turns(connection: Connection, game_id: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of a game's positions, the newest first, and how many there are."""
    statement = select(*_TURN_SHOWN).where(_t.game_id == game_id, _t.superseded_at.is_(None))
    return await fetch_page(connection, statement.order_by(_t.turn.desc()), paging)


_TURN_SHOWN = (
    *(_t[name] for name in ("turn", "trigger", "due_at", "claimed_at", "made_at", "duration_ms", "phase", "awaiting")),
    *(_t[name] for name in ("absent", "vacant", "eliminated", "finished", "missed_ticks")),
    func.encode(_t.state_digest, "hex").label("state_digest"),
    func.encode(_t.orders_digest, "hex").label("orders_digest"),
    *(_t[name] for name in ("engine_version_id", "generation", "request_id")),
)
_HIDDEN = {"seed", "options", "policy_options", "engine_lease", "order_lease", "turn_lease", "remaining", "schedule"}
_SHOWN = tuple(column for column in runtime_records.c if column.name not in _HIDDEN)


def _held(held: Claim) -> Any:
    return update(runtime_operation_log).where(_log.id == held.id, _log.lease == held.lease, _open)
