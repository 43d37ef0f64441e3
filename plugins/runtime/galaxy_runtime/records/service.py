"""The life of a record, on the connection of whoever owns the game.

What a crash leaves behind: nothing is begun or committed here. Each change is a part of the caller's transaction, and
reaches memory by its feed.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import Failure
from galaxy_kernel.api import Cache, Connection, Context, invalid, not_found
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.domain import seats_json
from galaxy_runtime.errors import turn_running
from galaxy_runtime.records import queries
from galaxy_runtime.records.domain import ClockState, all_final, moved, resumed, suspended
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable

TURN_WORKER = "runtime.turns"
RECONCILE_WORKER = "runtime.reconcile"
OPERATION_WORKER = "runtime.operate"


class RecordService:
    """Locks records, moves their clocks and closes them."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        table: ObservingTable,
    ) -> None:
        self._context, self._cache, self._time, self._table = context, cache, time, table

    async def lock(self, connection: Connection, game_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Lock the records of these games; see the contract."""
        return await queries.lock(connection, game_ids)

    async def suspend(self, connection: Connection, game_id: UUID) -> None:
        """Stop the clock; see the contract."""
        clock = await self._clock(connection, game_id)
        if clock.playing:
            await self._put(connection, await queries.change(connection, game_id, suspended(clock)))
            if not clock.begun:
                await queries.end_operation(connection, game_id, "superseded", forced=True)

    async def resume(self, connection: Connection, game_id: UUID) -> datetime | None:
        """Let the clock go on; see the contract."""
        clock = await self._clock(connection, game_id)
        if clock.playing and not clock.begun:
            return clock.tick_at
        record = await queries.change(connection, game_id, resumed(clock))
        await self._put(connection, record)
        self._context.wakeups.after_commit(connection, TURN_WORKER)
        return record.tick_at

    async def postpone(self, connection: Connection, game_id: UUID, until: datetime) -> datetime:
        """Move the next turn later; see the contract."""
        clock = await self._clock(connection, game_id)
        if clock.begun or clock.due:
            raise turn_running()
        if not clock.playing or clock.tick_at is None or until <= clock.tick_at:
            raise invalid("until", "must be later than the next turn")
        await self._put(connection, await queries.change(connection, game_id, moved(clock.schedule, until, clock.now)))
        return until

    async def vacate(self, connection: Connection, game_id: UUID, seat: int) -> None:
        """Note that nobody plays a seat any more; see the contract."""
        clock = await self._clock(connection, game_id)
        seats = {**clock.seats, seat: msgspec.structs.replace(clock.seats[seat], vacant=True)}
        values = {"seats": seats_json(seats)}
        open_turn = clock.playing and not clock.begun and clock.run_when_final
        if open_turn and all_final(seats, clock.awaiting, clock.final):
            values |= {"next_turn_at": clock.now, "trigger": "final"}
            self._context.wakeups.after_commit(connection, TURN_WORKER)
        await self._put(connection, await queries.change(connection, game_id, values))

    async def end(self, connection: Connection, game_id: UUID) -> None:
        """Close a record; see the contract."""
        clock = await queries.lock_clock(connection, game_id, self._time)
        if clock is None or clock.ended:
            return
        values = {
            "ended": True,
            "ended_at": clock.now,
            "playing": False,
            "wanted": "down",
            "next_turn_at": None,
            "due_at": None,
            "tick_at": None,
            "remind_at": None,
            "turn_claimed_at": None,
        }
        await queries.change(connection, game_id, values)
        await queries.end_operation(connection, game_id, "superseded")
        await self._cache.drop(connection, game_id)
        self._context.wakeups.after_commit(connection, RECONCILE_WORKER)

    async def quarantine(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """Stop the clock of a game that is locked and cannot be adjudicated, and have its owner pause it.

        Orders open again. `resume` begins with a fresh count of attempts.
        """
        values = {
            "playing": False,
            "next_turn_at": None,
            "due_at": None,
            "tick_at": None,
            "remind_at": None,
            "remaining": None,
            "skip_next": False,
            "trigger": "scheduled",
            "final_seat": None,
            "orders_closed_at": None,
            "turn_claimed_at": None,
            "turn_failure": failure.code,
        }
        await self._put(connection, await queries.change(connection, game_id, values))
        error = {"error_code": failure.code, "error": failure.message}
        await queries.end_operation(connection, game_id, "failed", forced=True, **error)
        await self._table.owner.halted(connection, game_id, failure)

    async def _clock(self, connection: Connection, game_id: UUID) -> ClockState:
        clock = await queries.lock_clock(connection, game_id, self._time)
        if clock is None or clock.ended:
            raise not_found("running game")
        return clock

    async def _put(self, connection: Connection, record: Record) -> None:
        await self._cache.put(connection, record)
