"""Turns are committed in sets: one transaction for up to 64 games, since the disk's fsync is the limit.

What a crash leaves behind: the transaction is there whole or not at all, for each game of the set alike. It locks the
records whose claims are held, in the order of ids; moves them to the next turn; inserts positions and reports; notes
which orders were used; puts the change into memory's feed; and has the owner of the games do its part on the same
connection. Games whose claims are lost are left out, and nothing of theirs is written. If the outcome of the COMMIT is
unknown, the set is tried again: what was committed is no longer held.

A set that fails, but not because the database is away or of a deadlock, is committed one by one, so that what is wrong
with one game keeps no other from its turn.
"""

import asyncio
import contextvars
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import PositionMade
from galaxy_kernel.api import Cache, Connection, Context, is_unavailable, sqlstate
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.domain import seats_json
from galaxy_runtime.records.service import RECONCILE_WORKER
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable
from galaxy_runtime.turns import queries
from galaxy_runtime.turns.domain import Claim, HeldRecord, clock_after, count_missed
from galaxy_runtime.turns.positions import NewPosition, insert_positions
from galaxy_runtime.turns.queries import UsedOrders

SET = 64
"""Games in one transaction, at most: in one of 64 a turn costs a tenth less than in one of 32."""
_SET_BYTES = 8 * 1024 * 1024
"""Bytes of states and reports in one, unless a single game has more: each costs the driver several times its size."""
_MOST_WAITING = 4 * SET
"""Turns that may wait for their commit before no more are claimed."""
_AT_ONCE = 3
"""Transactions at once: with two, this process waits for them; beyond three they gain next to nothing."""
_AGAIN = 0.2
"""Seconds between attempts while the database is away, or after a deadlock."""
_TRIES = 75
"""Attempts at a set while the database is away: a lease lasts no longer."""
_RETRYABLE = frozenset({"40001", "40P01", "55P03"})
"""serialization_failure, deadlock_detected, lock_not_available (PostgreSQL, appendix A)."""


class OwnerRefusedError(Exception):
    """The owner of the game raised when it was called with the position."""


class ComputedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that was adjudicated under a claim, and is not committed yet."""

    claim: Claim
    made: NewPosition
    orders: Mapping[int, bytes]
    """Sets that it was made from, by seat."""
    stored: frozenset[int]
    """Seats whose sets are stored already: the others are the engine's suggestions."""

    @property
    def size(self) -> int:
        """Bytes to write."""
        position = self.made.position
        return len(memoryview(position.state)) + sum(len(memoryview(report)) for report in position.reports.values())

    def used(self) -> list[UsedOrders]:
        """Return the sets that it was made from, as they are noted."""
        made = self.made
        return [
            UsedOrders(
                game_id=made.game_id,
                epoch=made.epoch,
                turn=made.position.turn - 1,
                seat=seat,
                suggested=None if seat in self.stored else orders,
                digest=hashlib.sha256(orders).digest(),
                request_id=made.request_id,
            )
            for seat, orders in self.orders.items()
        ]


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    turn: ComputedTurn
    size: int
    outcome: "asyncio.Future[bool]"


class Commits:
    """Gathers computed turns into sets, and commits them."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        table: ObservingTable,
    ) -> None:
        self._context, self._cache, self._time, self._table = context, cache, time, table
        self._waiting: list[_Waiting] = []
        self._arrived = 0
        """Turns that ever came to wait."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def commit(self, turn: ComputedTurn) -> bool:
        """Commit a turn, with others that are ready; return False when its claim is no longer held.

        Raise OwnerRefusedError, or the error of the one game.
        """
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(turn, turn.size, outcome))
        self._arrived += 1
        if len(self._tasks) < _AT_ONCE:
            self._begin()
        return await outcome

    @property
    def room(self) -> int:
        """How many more turns may wait to be committed; none while those that do have the bytes of a full set."""
        if sum([each.size for each in self._waiting]) > _SET_BYTES:
            return 0
        return max(_MOST_WAITING - len(self._waiting), 0)

    async def close(self) -> None:
        """Stop; what was not committed is taken up by whoever claims it next."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        # in a context of its own: the set belongs to no single turn's request
        task = asyncio.create_task(self._drain(), name="turn commits", context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self._waiting and len(self._tasks) < _AT_ONCE and not task.cancelled():
            self._begin()  # for a turn that came after the task's last look, while it still counted

    async def _drain(self) -> None:
        while self._waiting:
            await self._gather()
            if self._waiting:  # another task may have taken them
                await self._settle(self._next_set())

    async def _gather(self) -> None:
        """Wait as long as every round of the event loop brings more, so that a busy process commits full sets."""
        seen = -1  # not by how many wait: another task takes some
        while seen < self._arrived and len(self._waiting) < SET:
            seen = self._arrived
            await asyncio.sleep(0)

    def _next_set(self) -> list[_Waiting]:
        """Remove and return the turns that waited longest: as many as go into one transaction."""
        size, count = self._waiting[0].size, 1
        for each in self._waiting[1:SET]:
            size += each.size
            if size > _SET_BYTES:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _settle(self, waiting: Sequence[_Waiting]) -> None:
        """Commit a set. Whoever stopped waiting, since its lease ended, is left out of the next attempt."""
        tries = 0
        while waiting := [each for each in waiting if not each.outcome.done()]:
            tries += 1
            try:
                committed = await self._write([each.turn for each in waiting])
            except Exception as error:
                if tries < _TRIES and _passes(error):
                    await asyncio.sleep(_AGAIN)
                elif len(waiting) > 1:
                    self._context.log.warning("turn_set_split", games=len(waiting), exc_info=error)
                    for each in waiting:
                        await self._settle([each])
                elif not waiting[0].outcome.done():
                    waiting[0].outcome.set_exception(error)
            else:
                for each in waiting:
                    if not each.outcome.done():
                        each.outcome.set_result(each.turn.claim.key in committed)

    async def _write(self, turns: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        """Commit those turns whose claims are held, and return the claims' keys."""
        async with self._context.database.transaction() as connection:
            keys = [turn.claim.key for turn in turns]
            held = await queries.lock_held(connection, keys, self._time.shift)
            moved = [_advanced(turn, held[turn.claim.key]) for turn in turns if turn.claim.key in held]
            if moved:
                await self._move(connection, moved)
        for turn in turns:
            if turn.claim.key not in held:
                log = self._context.log
                log.info("turn_claim_superseded", game_id=str(turn.made.game_id), turn=turn.claim.turn)
        return set(held)

    async def _move(self, connection: Connection, moved: "Sequence[_Advanced]") -> None:
        keep, shift = self._context.settings.keep_snapshots, self._time.shift
        records = await queries.advance(connection, [each.row for each in moved], keep)
        await insert_positions(connection, [each.made for each in moved], shift)
        if used := [orders for each in moved for orders in each.turn.used()]:
            await queries.use_orders(connection, used)
        ended = {each.game_id for each in moved if each.made.position.finished}
        await self._cache.put_many(connection, [record for record in records if record.game_id not in ended])
        if ended:
            await self._cache.drop_many(connection, sorted(ended))
            self._context.wakeups.after_commit(connection, RECONCILE_WORKER)
        ticks = {record.game_id: record.tick_at for record in records}
        await self._tell(connection, [each.made.told(ticks[each.game_id]) for each in moved])

    async def _tell(self, connection: Connection, told: Sequence[PositionMade]) -> None:
        owner = self._table.owner
        try:
            if len(told) == 1:
                await owner.position_made(connection, told[0])
            else:
                await owner.positions_made(connection, told)
        except Exception as error:
            if _passes(error):
                raise
            plugin = self._table.plugin
            game = f" of game {told[0].game_id}" if len(told) == 1 else ""
            raise OwnerRefusedError(f"{plugin} refused the position{game}: {type(error).__name__}") from error


class _Advanced(msgspec.Struct, frozen=True):
    """A turn as it is written."""

    turn: ComputedTurn
    made: NewPosition
    row: Mapping[str, Any]
    """Columns of its record."""

    @property
    def game_id(self) -> UUID:
        return self.made.game_id


def _passes(error: Exception) -> bool:
    """Whether the same set may be committed when it is tried again: the database is away, or chose us in a deadlock."""
    return is_unavailable(error) or sqlstate(error) in _RETRYABLE


def _advanced(turn: ComputedTurn, held: HeldRecord) -> _Advanced:
    position = turn.made.position
    clock, missed = clock_after(held, finished=position.finished)
    made = msgspec.structs.replace(turn.made, missed_ticks=missed)
    seats = count_missed(held.seats, held.awaiting, made.absent, held.trigger)
    row = {
        **msgspec.structs.asdict(clock),
        "game_id": made.game_id,
        "turn": position.turn,
        "awaiting": made.awaiting,
        "phase": position.phase,
        "seats": seats_json(seats),
        "made_at": held.now,
    }
    return _Advanced(turn, made, row)
