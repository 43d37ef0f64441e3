"""The commit of accepted sets of orders: those that wait at the same time, of different games, in one transaction.

What a crash leaves behind: a transaction either commits its sets with their marks in the records, and the turns that
they make due, or changes nothing; whoever sent one hears "accepted" only after the COMMIT. If the outcome of the COMMIT
is unknown, the error is raised to all of them: sent again it is the same set.

A transaction that fails, but not because the database is away, is done again set by set, so that what is wrong with one
keeps no other from being stored. It waits for no lock on a record: a set whose record somebody else has locked is
stored by itself, beside the others, so that only those of the same game wait with it.
"""

import asyncio
import contextvars
from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec

from galaxy_kernel.api import Cache, Connection, Context, is_unavailable
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.orders import queries
from galaxy_runtime.orders.queries import NewSet, Put
from galaxy_runtime.records.service import TURN_WORKER
from galaxy_runtime.settings import RuntimeSettings

SETS = 32
"""Sets in one transaction, at most."""
_AT_ONCE = 2
"""Transactions at once: while one waits for its COMMIT, the next is written."""
_ALONE = 8
"""Transactions beside them that wait for a lock: each has a connection."""


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    given: NewSet
    outcome: "asyncio.Future[Put | None]"


class OrderCommits:
    """Gathers accepted sets, and stores them."""

    def __init__(self, context: Context[RuntimeSettings], cache: Cache[UUID, Record], time: DatabaseTime) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._waiting: list[_Waiting] = []
        self._writing: set[UUID] = set()
        """Games of which a set is being written: the next one would only wait for the same lock."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone: dict[UUID, asyncio.Task[None]] = {}
        """By games: what waits for a lock that somebody else has."""
        self._connections = asyncio.Semaphore(_ALONE)

    async def put(self, given: NewSet) -> Put | None:
        """Store a set; return None where its turn takes no orders any more, or the stored revision is another."""
        outcome: asyncio.Future[Put | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(given, outcome))
        if len(self._tasks) < _AT_ONCE:
            self._begin()
        return await outcome

    def _begin(self) -> None:
        # in a context of its own: the transaction belongs to no single request
        task = asyncio.create_task(self._drain(), name="order commits", context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not self._tasks and not task.cancelled():
            self._go_on()  # a set may have come after the task's last look, while it still counted

    def _go_on(self) -> None:
        if len(self._tasks) < _AT_ONCE and any(each.given.game_id not in self._alone for each in self._waiting):
            self._begin()

    async def _drain(self) -> None:
        while taken := self._next_sets():
            games = {each.given.game_id for each in taken}
            self._writing |= games
            try:
                await self._settle(taken)
            finally:
                self._writing -= games

    def _next_sets(self) -> list[_Waiting]:
        """Remove and return those that waited longest, one of each game that is not being written.

        Whoever has stopped waiting is left out.
        """
        taken: dict[UUID, _Waiting] = {}
        left: list[_Waiting] = []
        for each in self._waiting:
            if each.outcome.done():
                continue
            game = each.given.game_id
            if len(taken) < SETS and not (game in taken or game in self._writing or game in self._alone):
                taken[game] = each
            else:
                left.append(each)
        self._waiting = left
        return list(taken.values())

    async def _settle(self, waiting: Sequence[_Waiting], *, wait: bool = False) -> None:
        try:
            stored, passed_over = await self._write([each.given for each in waiting], wait=wait)
        except Exception as error:
            if len(waiting) > 1 and not is_unavailable(error):
                self._context.log.warning("order_set_split", sets=len(waiting), exc_info=error)
                for each in waiting:
                    await self._settle([each])
                return
            for each in waiting:
                if not each.outcome.done():
                    each.outcome.set_exception(error)
        else:
            for each in waiting:
                if each.given.game_id in passed_over:
                    self._begin_alone(each)
                elif not each.outcome.done():
                    each.outcome.set_result(stored.get(each.given.game_id))

    def _begin_alone(self, waiting: _Waiting) -> None:
        game = waiting.given.game_id
        task = asyncio.create_task(self._settle_alone(waiting), name="order commit", context=contextvars.Context())
        self._alone[game] = task
        task.add_done_callback(lambda ended: self._ended_alone(game, ended))

    async def _settle_alone(self, waiting: _Waiting) -> None:
        async with self._connections:
            if not waiting.outcome.done():
                await self._settle([waiting], wait=True)

    def _ended_alone(self, game: UUID, task: "asyncio.Task[None]") -> None:
        del self._alone[game]
        if not task.cancelled():
            self._go_on()

    async def _write(self, sets: Sequence[NewSet], *, wait: bool) -> tuple[dict[UUID, Put], Collection[UUID]]:
        async with self._context.database.transaction() as connection:
            stored, passed_over = await queries.put(connection, sets, self._time.shift, wait=wait)
            await self._publish(connection, stored.values())
        return stored, passed_over

    async def _publish(self, connection: Connection, stored: Collection[Put]) -> None:
        """Have memory show what has changed, and the turns run that are due."""
        changed = [each.record for each in stored if self._shows_otherwise(each.record)]
        if changed:
            await self._cache.put_many(connection, changed)
        if any(each.runs for each in stored):
            self._context.wakeups.after_commit(connection, TURN_WORKER)

    def _shows_otherwise(self, record: Record) -> bool:
        known = self._cache.get(record.game_id)
        return known is None or (known.sent, known.final) != (record.sent, record.final)
