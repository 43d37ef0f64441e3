"""The lease on a game's engine: who holds it acts on the engine, and what it writes is fenced by it.

What a crash leaves behind: a lease that ends by itself within `LEASE`. What was done to the engine meanwhile is found
by looking; see `acting`.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from galaxy_kernel.api import (
    Cache,
    Connection,
    Context,
    KeyedLocks,
    LeaseKeeper,
    LeaseLostError,
    after_commit,
    is_unavailable,
    not_found,
)
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines import queries
from galaxy_runtime.engines.domain import LEASE, EngineState
from galaxy_runtime.settings import RuntimeSettings

POLL = 0.1
"""Seconds between two looks for the end of a lease that another process holds."""


class Held:
    """A game's engine under the lease, and what its record says of it."""

    def __init__(self, leases: "EngineLeases", state: EngineState) -> None:
        self._leases, self.state = leases, state

    async def note(self, **values: Any) -> None:
        """Change the engine's columns, in a transaction of its own. Raise LeaseLostError."""
        async with self._leases.context.database.transaction() as connection:
            await self.note_with(connection, **values)

    async def note_with(self, connection: Connection, **values: Any) -> None:
        """Change the engine's columns with the caller's transaction. Raise LeaseLostError."""
        noted = await queries.note(connection, self.state.game_id, self.state.engine_lease, values)
        if noted is None:
            raise LeaseLostError(f"the engine of game {self.state.game_id} is in other hands")
        await self._publish(connection, *noted)

    async def withdraw(self) -> bool:
        """Have no turn begin on the engine any more; return False while one may run on it, or without the lease."""
        state, shift = self.state, self._leases.time.shift
        async with self._leases.context.database.transaction() as connection:
            noted = await queries.withdraw(connection, state.game_id, state.engine_lease, shift)
            if noted is not None:
                await self._publish(connection, *noted)
        return noted is not None

    async def _publish(self, connection: Connection, record: Record, state: EngineState) -> None:
        after_commit(connection, lambda: self._adopt(state))
        if not state.ended:
            await self._leases.cache.put(connection, record)

    def _adopt(self, state: EngineState) -> None:
        """Hold what was committed: a transaction that rolls back has changed nothing."""
        self.state = state


class EngineLeases:
    """The leases that this process holds."""

    def __init__(self, context: Context[RuntimeSettings], cache: Cache[UUID, Record], time: DatabaseTime) -> None:
        self.context, self.cache, self.time = context, cache, time
        self._locks = KeyedLocks()
        self._keeper = LeaseKeeper(self._renew, lease=LEASE)

    @asynccontextmanager
    async def hold(self, game_id: UUID, *, wake: bool = False) -> AsyncIterator[Held]:
        """Hold the lease on a game's engine during the block; wait for whoever has it.

        `wake`: an engine that sleeps is wanted again. Raise the problem 404 for a game without a record, and
        LeaseLostError.
        """
        async with self._locks.hold(game_id):
            state = await self._taken(game_id, wake=wake)
            try:
                async with self._keeper.keep((game_id, state.engine_lease), LEASE.total_seconds()):
                    yield Held(self, state)
            finally:
                await asyncio.shield(self._give_back(state))

    async def _taken(self, game_id: UUID, *, wake: bool) -> EngineState:
        while True:
            async with self.context.database.transaction() as connection:
                state = await queries.take_lease(connection, game_id, self.time.shift, wake=wake)
                if state is not None:
                    return state
                if await queries.find_state(connection, game_id) is None:
                    raise not_found("running game")
            await asyncio.sleep(POLL)

    async def _give_back(self, state: EngineState) -> None:
        try:
            async with self.context.database.transaction() as connection:
                await queries.give_lease_back(connection, state.game_id, state.engine_lease)
        except Exception as error:
            if not is_unavailable(error):  # then it ends by itself
                raise

    async def _renew(self, held: Sequence[tuple[UUID, int]]) -> Collection[tuple[UUID, int]]:
        async with self.context.database.transaction() as connection:
            return await queries.renew_leases(connection, held)
