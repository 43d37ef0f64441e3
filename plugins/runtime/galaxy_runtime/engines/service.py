"""Engines for the other parts of the plugin, and what keeps them as they should be.

What a crash leaves behind stands with `leases` and `acting`. What engines are used for is noted in memory and written
by a worker: what a crash loses of it makes an engine sleep that much too early, and it is woken by its next use.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from galaxy_engine.failures import EngineFailure, HostUnreachable, StartFailed, Unhealthy
from galaxy_kernel.api import (
    Cache,
    Connection,
    Context,
    Health,
    LeaseLostError,
    Problem,
    not_found,
)
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines import queries
from galaxy_runtime.engines.acting import EngineActions
from galaxy_runtime.engines.domain import FAILURES, STATUSES, Engine, EngineState
from galaxy_runtime.engines.host import GRACE, EngineHost
from galaxy_runtime.engines.leases import EngineLeases, Held
from galaxy_runtime.errors import engine_stopped, engine_waking
from galaxy_runtime.reconciling import Remove, plan
from galaxy_runtime.records.service import RECONCILE_WORKER
from galaxy_runtime.settings import RuntimeSettings

_HEALTH_CHECKS = 16
"""Engines that are asked at once whether they are healthy."""
_WATCH = 240.0
"""Seconds that one subscription to the host's hints lasts: streams stop in silence, too."""
_WATCH_AGAIN = 1.0
"""Seconds between the end of a subscription and the next one."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class EngineService:
    """Implements `galaxy_runtime.engines.domain.Engines`, and the passes of the workers."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        host: EngineHost,
        actions: EngineActions,
    ) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._host, self._actions = host, actions
        self._leases = EngineLeases(context, cache, time)
        self._starting: dict[UUID, asyncio.Task[EngineState]] = {}
        self._suspected: set[UUID] = set()
        self._used: set[UUID] = set()
        self._unreachable = ""
        self._counts = context.meter.create_gauge(
            "runtime.engines", description="Games that want an engine, by status."
        )

    @cached_property
    def _slots(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self._context.settings.start_concurrency)

    async def open(self, game_id: UUID, patience: timedelta) -> Engine:
        """Return a game's engine; see the protocol."""
        record = self._cache.get(game_id)
        if record is None:
            raise not_found("running game")
        if record.wanted == "down":
            raise engine_stopped()
        up = record.wanted == "up" and record.status == "healthy"
        if up and record.address is not None and game_id not in self._suspected:
            engine = self._known(record)
            if engine is not None:
                self._used.add(game_id)
                return engine
        try:
            async with asyncio.timeout(patience.total_seconds()):
                state = await asyncio.shield(self._start(game_id))
        except TimeoutError:
            raise engine_waking() from None
        return await self._engine(state)

    def suspect(self, game_id: UUID) -> None:
        """Have an engine looked at before it is opened again; see the protocol."""
        self._suspected.add(game_id)

    async def wake(self, game_ids: Sequence[UUID]) -> None:
        """Have engines started in the background; see the protocol."""
        for game_id in game_ids:
            record = self._cache.get(game_id)
            if record is None or record.wanted == "down":
                continue
            if record.status != "healthy" or record.wanted == "idle":
                self._start(game_id)

    async def settle(self, game_id: UUID) -> None:
        """Bring a game's engine to what its record wants; see the protocol."""
        async with self._leases.hold(game_id) as held:
            await self._actions.converge(held)

    @asynccontextmanager
    async def replacing(self, game_id: UUID, *, version_id: UUID, image: str) -> AsyncIterator["NewEngine"]:
        """Make an engine beside a game's own; see the protocol."""
        driver = await self._host.driver()
        async with self._leases.hold(game_id, wake=True) as held:
            generation = held.state.generation_issued + 1
            await held.note(generation_issued=generation)
            try:
                prepared = await driver.prepare(image, self._host.drivers.pull_policy)
                spec = await self._host.spec(held.state, generation, prepared.digest or prepared.image)
                seen = await driver.launch(spec)
                if seen.state != "running" or seen.address is None:
                    raise StartFailed(f"the engine {spec.id.name} ended at once", seen.detail)
                client = self._host.client(seen.address, game_id, generation)
                await self._host.await_health(client)
                described = await self._host.examine(client, version_id)
                engine = Engine(client, described, generation, version_id)
                yield NewEngine(held, engine, seen.handle, seen.address)
            finally:
                with suppress(EngineFailure, LeaseLostError):  # else whoever looks next removes it
                    await asyncio.shield(self._actions.converge(held))

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
        known = {state.game_id for state in states}
        await self._bring_all(dict.fromkeys(each.game_id for each in actions if each.game_id in known))
        for action in actions:
            if isinstance(action, Remove) and action.game_id not in known:
                await self._remove_orphan(action)
        return _soonest(states)

    async def watch(self) -> None:
        """Look at games that the host gives hints of, until cancelled. A subscription that ends is made again.

        What a stream has missed meanwhile is found by a full pass.
        """
        while True:
            try:
                driver = await self._host.driver()
                async with asyncio.timeout(_WATCH):
                    async for game_id in driver.watch():
                        await self._bring_all([game_id])
            except (TimeoutError, EngineFailure):
                pass
            except Exception as error:  # such as the database's: it comes back
                self._context.log.warning("engine_hints_interrupted", error=type(error).__name__)
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
            counts = await queries.count_by_status(connection)
        for status in STATUSES:
            self._counts.set(counts.get(status, 0), {"status": status})
        await self._bring_all(record.game_id for record in asleep)
        await self.wake(waking)

    async def note_used(self) -> None:
        """Write which engines were used since the last time."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._context.database.transaction() as connection:
                await queries.note_used(connection, used, self._time.shift)
        except BaseException:
            self._used |= used
            raise

    async def health(self) -> Health:
        """Return whether the host of engines answers."""
        if self._unreachable:
            return Health("degraded", f"{self._unreachable}: engines cannot be started or looked at; turns are late")
        return Health()

    async def close(self) -> None:
        """Cancel starts under way; another process, or the next start of this one, goes on with them."""
        tasks = list(self._starting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, game_id: UUID) -> "asyncio.Task[EngineState]":
        """Return the task that starts a game's engine, one at a time for each game."""
        task = self._starting.get(game_id)
        if task is None:
            task = asyncio.create_task(self._started(game_id), name=f"start of the engine of game {game_id}")
            self._starting[game_id] = task
            task.add_done_callback(lambda done: self._start_ended(game_id, done))
        return task

    def _start_ended(self, game_id: UUID, task: "asyncio.Task[EngineState]") -> None:
        del self._starting[game_id]
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, EngineFailure | Problem | LeaseLostError):
            self._context.log.error("engine_start_broken", game_id=str(game_id), exc_info=error)

    async def _started(self, game_id: UUID) -> EngineState:
        async with self._slots:
            await self._make_room(game_id)
            async with self._leases.hold(game_id, wake=True) as held:
                await self._actions.converge(held)
                if held.state.status in ("healthy", "unhealthy") and held.state.address is not None:
                    await self._ask_again(held)
                self._suspected.discard(game_id)
                state = held.state
        if state.wanted == "down":
            raise engine_stopped()
        if state.healthy:
            return state
        if state.not_before is not None and state.not_before > state.now:
            self._context.wakeups.wake(RECONCILE_WORKER)
        failure = FAILURES.get(state.failure or "")
        if failure is None:
            raise engine_waking()
        message, _, detail = (state.failure_detail or "the engine could not be started").partition("\n")
        raise failure(message, detail)

    async def _ask_again(self, held: Held) -> None:
        """Ask an engine that is noted whether it answers, where that is in doubt."""
        state = held.state
        if state.status == "healthy" and state.game_id not in self._suspected:
            return
        client = self._host.client(state.address or "", state.game_id, state.generation)
        try:
            await client.health()
        except Unhealthy:
            since = state.unhealthy_since or state.now
            await held.note(status="unhealthy", unhealthy_since=since)
            raise
        if state.status != "healthy":
            await held.note(status="healthy", unhealthy_since=None)

    async def _make_room(self, game_id: UUID) -> None:
        settings, record = self._context.settings, self._cache.get(game_id)
        if record is not None and record.address is not None:
            return  # it has an engine
        async with self._context.database.transaction() as connection:
            if await queries.count_noted(connection) < settings.max_engines:
                return
            asleep = await queries.make_room(connection, game_id, settings.wake_ahead, self._time.shift)
            await self._cache.put_many(connection, asleep)
        if not asleep:
            raise engine_waking()
        await self._bring_all([record.game_id for record in asleep])

    async def _bring_all(self, game_ids: Iterable[UUID]) -> None:
        """Bring engines together with their records, some at once; failures are noted where they belong."""
        free = asyncio.Semaphore(self._context.settings.start_concurrency)

        async def bring(game_id: UUID) -> None:
            async with free:
                try:
                    await self.settle(game_id)
                except (EngineFailure, Problem, LeaseLostError) as failure:
                    self._context.log.warning("engine_not_settled", game_id=str(game_id), reason=str(failure))
                except Exception as error:  # of one game: the others go on
                    self._context.log.error("engine_settling_failed", game_id=str(game_id), exc_info=error)

        async with asyncio.TaskGroup() as tasks:
            for game_id in game_ids:
                tasks.create_task(bring(game_id))

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
        await self.wake(doubtful)

    async def _note_unhealthy(self, record: Record) -> None:
        async with self._context.database.transaction() as connection:
            noted = await queries.note_unhealthy(connection, record.game_id, record.generation)
            if noted is not None:
                await self._cache.put(connection, noted)
                self._context.wakeups.after_commit(connection, RECONCILE_WORKER)

    def _known(self, record: Record) -> Engine | None:
        described = self._host.describe_of(record.engine_version_id)
        if described is None or record.address is None:
            return None
        client = self._host.client(record.address, record.game_id, record.generation)
        return Engine(client, described, record.generation, record.engine_version_id)

    async def _engine(self, state: EngineState) -> Engine:
        client = self._host.client(state.address or "", state.game_id, state.generation)
        described = self._host.describe_of(state.engine_version_id) or await client.describe()
        self._used.add(state.game_id)
        return Engine(client, described, state.generation, state.engine_version_id)

    def _note_unreachable(self, reason: str) -> None:
        if reason and not self._unreachable:
            self._context.log.warning("engine_host_unreachable", reason=reason)
        self._unreachable = reason


class NewEngine:
    """An engine beside a game's own: `Replacement` of the protocol."""

    def __init__(self, held: Held, engine: Engine, handle: str, address: str) -> None:
        self._held, self.engine, self._handle, self._address = held, engine, handle, address

    async def switch(self, connection: Connection) -> None:
        """Make it the game's engine; see the protocol."""
        await self._held.note_with(
            connection,
            generation=self.engine.generation,
            status="healthy",
            handle=self._handle,
            address=self._address,
            healthy_since=self._held.state.now,
            unhealthy_since=None,
            crashes=0,
            failure=None,
            failure_detail=None,
            not_before=None,
        )


def _soonest(states: Iterable[EngineState]) -> timedelta | None:
    """Return how long until the first back-off ends."""
    waits = [
        state.not_before - state.now
        for state in states
        if state.wanted == "up" and not state.healthy and state.not_before is not None
    ]
    return max(min(waits), timedelta(seconds=1)) if waits else None
