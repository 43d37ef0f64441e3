"""Every statement about engines, as functions of a connection.

Leases and back-off are about processes and engines, not about games: they go by the database's clock as it is. What is
compared with a turn's time goes by the runtime's (`database_time`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    Integer,
    Interval,
    Row,
    Uuid,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from galaxy_kernel.api import Connection
from galaxy_runtime.caches import RECORD, Record
from galaxy_runtime.engines.domain import LEASE, EngineState
from galaxy_runtime.records.queries import record_of
from galaxy_runtime.tables import runtime_installation, runtime_records

_c = runtime_records.c
_now = func.statement_timestamp()
_free = or_(_c.engine_lease_until.is_(None), _c.engine_lease_until <= _now)
_placed = text("(handle IS NOT NULL OR status IN ('pulling', 'starting'))")
"""`EngineState.placed`, as the index has it."""
_STATE = (
    *(_c[name] for name in EngineState.__struct_fields__ if name not in ("held", "now")),
    (~_free).label("held"),
    _now.label("now"),
)
_NOTED = (*RECORD, *(column for column in _STATE if column.key not in Record.__struct_fields__))
_NAMES = EngineState.__struct_fields__
_IDS = bindparam("ids", type_=ARRAY(Uuid))
_SHIFT = bindparam("shift", type_=Interval)

_RENEW = text("""
    WITH held AS (
        SELECT r.game_id, r.engine_lease FROM runtime_records AS r
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:leases AS int[])) AS mine (game_id, lease)
            ON r.game_id = mine.game_id AND r.engine_lease = mine.lease
        WHERE r.engine_lease_until > statement_timestamp()
    ), free AS (
        SELECT r.game_id, r.engine_lease FROM runtime_records AS r JOIN held USING (game_id, engine_lease)
        ORDER BY r.game_id FOR UPDATE OF r SKIP LOCKED
    ), renewed AS (
        UPDATE runtime_records AS r SET engine_lease_until = statement_timestamp() + :lease
        FROM free WHERE r.game_id = free.game_id
    )
    SELECT game_id, engine_lease FROM held
""").bindparams(_IDS, bindparam("leases", type_=ARRAY(Integer)), bindparam("lease", type_=Interval))

_EVICT = """
    UPDATE runtime_records SET wanted = 'idle', revision = revision + 1
    WHERE game_id IN (
        SELECT game_id FROM runtime_records
        WHERE wanted = 'up' AND status = 'healthy' AND due_at IS NULL AND {condition}
            AND (NOT playing OR next_turn_at > statement_timestamp() + :shift + :soon)
            AND (engine_lease_until IS NULL OR engine_lease_until <= statement_timestamp())
        ORDER BY used_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING {columns}
"""
_COLUMNS = ", ".join(Record.__struct_fields__)
_soon = (bindparam("soon", type_=Interval), bindparam("limit", type_=Integer), _SHIFT)
_MAKE_ROOM = text(_EVICT.format(condition="game_id <> :game_id", columns=_COLUMNS)).bindparams(
    *_soon, bindparam("game_id", type_=Uuid)
)
_IDLE = text(
    _EVICT.format(
        condition="coalesce(used_at, created_at) < statement_timestamp() + :shift - :unused", columns=_COLUMNS
    )
).bindparams(*_soon, bindparam("unused", type_=Interval))
_WAKING = text("""
    SELECT game_id FROM runtime_records
    WHERE playing AND next_turn_at <= statement_timestamp() + :shift + :ahead AND wanted = 'idle' AND status <> 'failed'
    ORDER BY next_turn_at LIMIT :limit
""").bindparams(_SHIFT, bindparam("ahead", type_=Interval), bindparam("limit", type_=Integer))
_USED = text("""
    WITH free AS (
        SELECT game_id FROM runtime_records WHERE game_id = ANY(:ids) AND wanted = 'up'
        ORDER BY game_id FOR UPDATE SKIP LOCKED
    )
    UPDATE runtime_records AS r SET used_at = statement_timestamp() + :shift FROM free WHERE r.game_id = free.game_id
""").bindparams(_SHIFT, _IDS)
_COUNTS = select(_c.status, func.count().label("engines")).where(_c.wanted == "up").group_by(_c.status)


async def installation_id(connection: Connection) -> str:
    """Return the id by which engines are this installation's, made once."""
    made = insert(runtime_installation).values(one=True, owner=uuid4()).on_conflict_do_nothing()
    await connection.execute(made)
    owner: UUID = (await connection.execute(select(runtime_installation.c.owner))).scalar_one()
    return str(owner)


async def find_state(connection: Connection, game_id: UUID) -> EngineState | None:
    """Return what a record says of its engine."""
    row = (await connection.execute(select(*_STATE).where(_c.game_id == game_id))).one_or_none()
    return None if row is None else _state(row)


async def find_states(connection: Connection, observed: Collection[UUID]) -> list[EngineState]:
    """Return the records that want an engine or have a place, and those of these games; a turn soon is first."""
    relevant = or_(_c.wanted == "up", _placed, _c.game_id == func.any(_IDS))
    statement = select(*_STATE).where(relevant).order_by(_c.next_turn_at.asc().nulls_last())
    return [_state(row) for row in await connection.execute(statement, {"ids": list(observed)})]


async def take_lease(connection: Connection, game_id: UUID, shift: timedelta, *, wake: bool) -> EngineState | None:
    """Acquire the lease on a game's engine; None while another has it.

    `wake`: an engine that sleeps is wanted again.
    """
    asleep = and_(_c.wanted == "idle", ~_c.ended) if wake else false()
    statement = (
        update(runtime_records)
        .where(_c.game_id == game_id, _free)
        .values(
            engine_lease=_c.engine_lease + 1,
            engine_lease_until=_now + literal(LEASE, Interval),
            revision=_c.revision + 1,
            wanted=case((asleep, "up"), else_=_c.wanted),
            used_at=case((asleep, _now + literal(shift, Interval)), else_=_c.used_at),
        )
        .returning(*_STATE)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _state(row)


async def renew_leases(connection: Connection, held: Sequence[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
    """Renew leases, and return those that are still held."""
    values = {"ids": [game for game, _ in held], "leases": [lease for _, lease in held], "lease": LEASE}
    return {(row.game_id, row.engine_lease) for row in await connection.execute(_RENEW, values)}


async def give_lease_back(connection: Connection, game_id: UUID, lease: int) -> None:
    """End a lease that is still held."""
    statement = update(runtime_records).where(_c.game_id == game_id, _c.engine_lease == lease)
    await connection.execute(statement.values(engine_lease_until=None))


async def note(
    connection: Connection, game_id: UUID, lease: int, values: Mapping[str, Any]
) -> tuple[Record, EngineState] | None:
    """Change the engine's columns under a lease; None when it is another's by now.

    An engine that was stopped meanwhile stays so, whatever `values` want.
    """
    wanted = case((_c.wanted == "down", "down"), else_=values.get("wanted", _c.wanted))
    statement = (
        update(runtime_records)
        .where(_c.game_id == game_id, _c.engine_lease == lease, ~_free)
        .values(**{**values, "wanted": wanted}, revision=_c.revision + 1)
        .returning(*_NOTED)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else (record_of(row), _state(row))


async def withdraw(
    connection: Connection, game_id: UUID, lease: int, shift: timedelta
) -> tuple[Record, EngineState] | None:
    """Note that an engine has no address any more, under a lease; None while a turn may run on it.

    A turn that was claimed after the engine was found unhealthy does not: it waits for one that answers.
    """
    waits = _c.turn_claimed_at - literal(shift, Interval) >= _c.unhealthy_since
    statement = (
        update(runtime_records)
        .where(_c.game_id == game_id, _c.engine_lease == lease, ~_free, or_(_c.turn_claimed_at.is_(None), waits))
        .values(address=None, revision=_c.revision + 1)
        .returning(*_NOTED)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else (record_of(row), _state(row))


async def note_unhealthy(connection: Connection, game_id: UUID, generation: int) -> Record | None:
    """Note that a healthy engine does not answer."""
    statement = (
        update(runtime_records)
        .where(_c.game_id == game_id, _c.generation == generation, _c.status == "healthy")
        .values(status="unhealthy", unhealthy_since=_now, revision=_c.revision + 1)
        .returning(*RECORD)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else record_of(row)


async def count_places(connection: Connection) -> int:
    """Return how many games have a place for their engine."""
    count: int = (
        await connection.execute(select(func.count()).select_from(runtime_records).where(_placed))
    ).scalar_one()
    return count


async def make_room(connection: Connection, game_id: UUID, soon: timedelta, shift: timedelta) -> list[Record]:
    """Let the engine sleep that was unused longest and has no turn soon; return its record."""
    values = {"game_id": game_id, "soon": soon, "shift": shift, "limit": 1}
    return [record_of(row) for row in await connection.execute(_MAKE_ROOM, values)]


async def let_sleep(connection: Connection, unused: timedelta, soon: timedelta, shift: timedelta) -> list[Record]:
    """Let engines sleep that served no call for so long and have no turn soon; return their records."""
    values = {"unused": unused, "soon": soon, "shift": shift, "limit": 100}
    return [record_of(row) for row in await connection.execute(_IDLE, values)]


async def find_waking(connection: Connection, ahead: timedelta, shift: timedelta) -> list[UUID]:
    """Return games whose engines sleep and whose turn comes within `ahead`, the next one first."""
    values = {"ahead": ahead, "shift": shift, "limit": 100}
    return list((await connection.execute(_WAKING, values)).scalars())


async def note_used(connection: Connection, game_ids: Collection[UUID], shift: timedelta) -> None:
    """Note that these games' engines were used."""
    await connection.execute(_USED, {"ids": list(game_ids), "shift": shift})


async def count_by_status(connection: Connection) -> dict[str, int]:
    """Return how many games want an engine, by the engine's status."""
    return {row.status: row.engines for row in await connection.execute(_COUNTS)}


def _state(row: Row[Any]) -> EngineState:
    values = row._asdict()
    return EngineState(**{name: values[name] for name in _NAMES})
