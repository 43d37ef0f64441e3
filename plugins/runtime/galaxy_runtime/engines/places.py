"""Places for engines: at most `max_engines` of them, over all replicas (SPEC R-11).

A game has a place from before its engine is launched until the engine is known to be gone: its record notes an engine,
or says that one is on its way. A game whose engine is being replaced has one place, though two engines run meanwhile.

What a crash leaves behind: a place is reserved in one transaction, by what the record says of the engine. Whoever holds
the engine's lease next launches the engine, or removes it and forgets it, and the place is free with that.
"""

from uuid import UUID

from galaxy_kernel.api import Cache, Context, advisory_lock
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines import queries
from galaxy_runtime.engines.leases import Held
from galaxy_runtime.settings import RuntimeSettings

_LOCK = "runtime/places"


class Places:
    """Counts places, reserves them, and has unused engines make room."""

    def __init__(self, context: Context[RuntimeSettings], cache: Cache[UUID, Record], time: DatabaseTime) -> None:
        self._context, self._cache, self._time = context, cache, time

    async def reserve(self, held: Held) -> bool:
        """Reserve a place for a game's engine, unless it has one; return whether it has one now."""
        if held.state.placed:
            return True
        async with self._context.database.transaction() as connection:
            await advisory_lock(connection, _LOCK)
            if await queries.count_places(connection) >= self._context.settings.max_engines:
                return False
            await held.note_with(connection, status="pulling")
            return True

    async def make_room(self, game_id: UUID) -> list[UUID]:
        """Have the engine sleep that was unused longest and has no turn soon; return its game, if there is one."""
        ahead = self._context.settings.wake_ahead
        async with self._context.database.transaction() as connection:
            asleep = await queries.make_room(connection, game_id, ahead, self._time.shift)
            await self._cache.put_many(connection, asleep)
        return [record.game_id for record in asleep]
