"""Operations as they are asked for: a row first, work second.

What a crash leaves behind: `launch` and `operate` are part of the caller's transaction: what they asked for is there
with it, or not at all. Whoever works at an operation is `running`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_contracts.engines import ENGINE_VERSIONS, UnknownVersionError
from galaxy_contracts.runtime import Actor, ActorKind, Failure, Launch, Operation
from galaxy_kernel.api import Cache, Connection, Context, Paging, conflict, not_found
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.errors import operation_in_progress, turn_running
from galaxy_runtime.operations import queries
from galaxy_runtime.operations.domain import check_patch
from galaxy_runtime.records.domain import ClockState, forced
from galaxy_runtime.records.queries import change, lock_clock
from galaxy_runtime.records.service import OPERATION_WORKER, RECONCILE_WORKER, TURN_WORKER
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable

_WANTED: Mapping[Operation, Mapping[str, Any]] = {
    Operation.STOP: {"wanted": "down"},
    Operation.START: {"wanted": "up", "crashes": 0, "not_before": None},
}
"""Columns of a record whose engine is to be stopped, or started. A replaced one is wanted with the switch."""


class OperationService:
    """Records operations, and shows them to operators."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        table: ObservingTable,
    ) -> None:
        self._context, self._cache, self._time, self._table = context, cache, time, table

    async def launch(self, connection: Connection, launch: Launch) -> UUID:
        """Make a game's record and its operation `start`; see the contract."""
        version = self._context.require(ENGINE_VERSIONS).get(launch.engine_version_id)
        if version is None:
            raise UnknownVersionError(str(launch.engine_version_id))
        actor = Actor(ActorKind.OWNER)
        operation = await self._insert(connection, launch.game_id, Operation.START, actor, {})
        seed = self._context.random.randbytes(32)
        record = await queries.insert_record(connection, launch, version.image, version.digest, seed)
        if record is None:
            raise conflict("game_started", "The game was started before.")
        await self._cache.put(connection, record)
        return operation

    async def operate(
        self,
        connection: Connection,
        game_id: UUID,
        operation: Operation,
        actor: Actor,
        *,
        to_version: UUID | None = None,
        force: bool = False,
    ) -> UUID:
        """Record an operation; see the contract."""
        clock = await lock_clock(connection, game_id, self._time)
        if clock is None or clock.ended:
            raise not_found("running game")
        if clock.made_at is None and operation is not Operation.STOP:
            raise conflict("game_not_started", "The game has not started: its owner starts it.")
        if operation is Operation.FORCE_NEXT_TURN:
            return await self._force(connection, clock, actor)
        if force and operation is Operation.STOP:
            overtaken = await queries.supersede_hung(connection, game_id)
            if overtaken and clock.made_at is None:
                stopped = Failure("start_failed", "an operator stopped the game before it had started")
                await self._table.owner.start_failed(connection, game_id, stopped)
        given = await self._patch_input(connection, game_id, to_version) if operation is Operation.PATCH else {}
        made = await self._insert(connection, game_id, operation, actor, given)
        if operation in _WANTED:
            await self._cache.put(connection, await change(connection, game_id, _WANTED[operation]))
            self._context.wakeups.after_commit(connection, RECONCILE_WORKER)
        return made

    async def request(
        self, actor: UUID, game_id: UUID, operation: Operation, to_version: UUID | None, *, force: bool
    ) -> UUID:
        """Record an operation for an operator."""
        by = Actor(ActorKind.OPERATOR, actor)
        async with self._context.database.transaction() as connection:
            return await self.operate(connection, game_id, operation, by, to_version=to_version, force=force)

    async def list_records(self, paging: Paging, **filters: Any) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of records, and how many there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_records(connection, paging, **filters)

    async def show(self, game_id: UUID) -> Row[Any]:
        """Return a record as operators see it. Raise the problem 404."""
        async with self._context.database.reading() as connection:
            row = await queries.find_shown(connection, game_id)
        if row is None:
            raise not_found("game on an engine")
        return row

    async def list_operations(self, game_id: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of a game's operations, and how many there are. Raise the problem 404."""
        await self.show(game_id)
        async with self._context.database.reading() as connection:
            return await queries.list_operations(connection, game_id, paging)

    async def list_turns(self, game_id: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of a game's positions, and how many there are. Raise the problem 404."""
        await self.show(game_id)
        async with self._context.database.reading() as connection:
            return await queries.list_turns(connection, game_id, paging)

    async def _force(self, connection: Connection, clock: ClockState, actor: Actor) -> UUID:
        """Have the turn run now; the operation ends with the turn's commit."""
        if clock.begun or clock.due:
            raise turn_running()
        if not clock.playing:
            raise conflict("game_not_running", "The game's clock does not run.")
        made = await self._insert(connection, clock.game_id, Operation.FORCE_NEXT_TURN, actor, {"turn": clock.turn})
        await self._cache.put(connection, await change(connection, clock.game_id, forced(clock)))
        self._context.wakeups.after_commit(connection, TURN_WORKER)
        return made

    async def _patch_input(self, connection: Connection, game_id: UUID, to_version: UUID | None) -> Mapping[str, Any]:
        versions, current = self._context.require(ENGINE_VERSIONS), await queries.find_version(connection, game_id)
        now = None if current is None else versions.get(current)
        if now is None:
            raise not_found("running game")
        to = check_patch(now, None if to_version is None else versions.get(to_version))
        return {"from": str(now.id), "to": str(to.id)}

    async def _insert(
        self, connection: Connection, game_id: UUID, operation: Operation, actor: Actor, given: Mapping[str, Any]
    ) -> UUID:
        operation_id, inserted = await queries.insert_operation(connection, game_id, operation, actor, given)
        if not inserted:
            raise operation_in_progress(operation_id)
        self._context.wakeups.after_commit(connection, OPERATION_WORKER)
        return operation_id
