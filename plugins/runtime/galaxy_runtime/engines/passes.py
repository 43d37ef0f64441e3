"""The passes of the engines' workers: comparing engines with records, health, sleep, and the host's hints.

What a crash leaves behind stands with `leases` and `acting`: a pass that breaks off is begun again by whoever is next,
and looks again when the leases end that the dead process held.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from galaxy_engine.failures import EngineFailure, HostUnreachable, Unhealthy
from galaxy_kernel.api import Cache, Context, Health, found_work
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines import queries
from galaxy_runtime.engines.acting import EngineActions
from galaxy_runtime.engines.domain import EngineState
from galaxy_runtime.engines.host import GRACE, EngineHost
from galaxy_runtime.engines.service import EngineService
from galaxy_runtime.reconciling import Remove, plan
from galaxy_runtime.records.service import RECONCILE_WORKER
from galaxy_runtime.settings import RuntimeSettings

_HEALTH_CHECKS = 16
"""Engines that are asked at once whether they are healthy."""
_WATCH = 240.0
"""Seconds that one subscription to the host's hints lasts: streams stop in silence, too."""
_WATCH_AGAIN = 1.0
"""Seconds between the end of a subscription and the next one, and until that one hears everything."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class EnginePasses:
    """What keeps all engines as their records want them."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        host: EngineHost,
        actions: EngineActions,
        engines: EngineService,
    ) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._host, self._actions, self._engines = host, actions, engines
        self._unreachable = ""

    async def reconcile(self) -> timedelta | None:
        """Compare all engines with all records and bring together what differs; return when to look again."""
        driver, owner = await self._host.driver(), await self._host.owner()
        try:
            engines = await driver.observe()
        except HostUnreachable as failure:  # nothing is known, and nothing may be concluded
            self._note_unreachable(str(failure))
            return None
        self._note_unreachable("")
        async with self._context.database.reading() as connection:
            states = await queries.find_states(connection, {engine.id.game_id for engine in engines})
        desired = [state.desired(in_hand=state.held) for state in states]
        actions = plan(owner, desired, engines, states[0].now) if states else plan(owner, [], engines, _NEVER)
        found_work(actions)
        known = {state.game_id for state in states}
        await self._actions.settle_all(dict.fromkeys(each.game_id for each in actions if each.game_id in known))
        for action in actions:
            if isinstance(action, Remove) and action.game_id not in known:
                await self._remove_orphan(action)
        return _soonest(states)

    async def watch(self) -> None:
        """Look at games that the host gives hints of, until cancelled. A subscription that ends is made again.

        What a stream has missed meanwhile is found by a full pass: at once, and again when the next one has begun.
        """
        while True:
            begun = asyncio.get_running_loop().call_later(_WATCH_AGAIN, self._context.wakeups.wake, RECONCILE_WORKER)
            try:
                driver = await self._host.driver()
                async with asyncio.timeout(_WATCH):
                    async for game_id in driver.watch():
                        await self._actions.settle_all([game_id])
            except (TimeoutError, EngineFailure):
                pass
            except Exception as error:  # such as the database's: it comes back
                self._context.log.warning("engine_hints_interrupted", error=type(error).__name__)
            finally:
                begun.cancel()
            self._context.wakeups.wake(RECONCILE_WORKER)
            await asyncio.sleep(_WATCH_AGAIN)

    async def tend(self) -> None:
        """Ask engines for their health, let the unused sleep, and wake those that have a turn soon."""
        settings, shift = self._context.settings, self._time.shift
        await self._check_health()
        async with self._context.database.transaction() as connection:
            asleep: list[Record] = []
            if not isinstance(settings.idle_stop, str):
                soon = max(2 * settings.start_timeout, settings.wake_ahead)
                asleep = await queries.let_sleep(connection, settings.idle_stop, soon, shift)
                await self._cache.put_many(connection, asleep)
            waking = await queries.find_waking(connection, settings.wake_ahead, shift)
        found_work(asleep or waking)
        await self._actions.settle_all(record.game_id for record in asleep)
        await self._engines.wake(waking)

    async def health(self) -> Health:
        """Return whether the host of engines answers."""
        if self._unreachable:
            return Health("degraded", f"{self._unreachable}: engines cannot be started or looked at; turns are late")
        return Health()

    async def _remove_orphan(self, action: Remove) -> None:
        """Remove an engine of a game that has no record, once more looked for."""
        async with self._context.database.reading() as connection:
            if await queries.find_state(connection, action.game_id) is not None:
                return
        self._context.log.warning("engine_orphan_removed", game_id=str(action.game_id))
        with suppress(EngineFailure):
            await (await self._host.driver()).remove(action.handle, GRACE)

    async def _check_health(self) -> None:
        free = asyncio.Semaphore(_HEALTH_CHECKS)

        async def check(record: Record) -> None:
            async with free:
                try:
                    await self._host.client(record.address or "", record.game_id, record.generation).health()
                except Unhealthy:
                    await self._note_unhealthy(record)

        up = [each for each in self._cache.values() if each.status == "healthy" and each.address is not None]
        doubtful = [each.game_id for each in self._cache.values() if each.status == "unhealthy"]
        async with asyncio.TaskGroup() as tasks:
            for record in up:
                tasks.create_task(check(record))
        await self._engines.wake(doubtful)

    async def _note_unhealthy(self, record: Record) -> None:
        async with self._context.database.transaction() as connection:
            noted = await queries.note_unhealthy(connection, record.game_id, record.generation)
            if noted is not None:
                await self._cache.put(connection, noted)
                self._context.wakeups.after_commit(connection, RECONCILE_WORKER)

    def _note_unreachable(self, reason: str) -> None:
        if reason and not self._unreachable:
            self._context.log.warning("engine_host_unreachable", reason=reason)
        self._unreachable = reason


def _soonest(states: Iterable[EngineState]) -> timedelta | None:
    """Return how long until the first back-off or lease ends: who holds one may have died, and wakes nobody then."""
    ends = [
        (end, state.now)
        for state in states
        for end in (
            state.not_before if state.wanted == "up" and not state.healthy else None,
            state.engine_lease_until if state.held else None,
        )
        if end is not None
    ]
    return max(min(end - now for end, now in ends), timedelta(seconds=1)) if ends else None
