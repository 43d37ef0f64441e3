"""Engines for the other parts of the plugin: opened, woken, looked at, replaced.

What a crash leaves behind stands with `leases` and `acting`. What engines are used for is noted in memory and written
by a worker: what a crash loses of it makes an engine sleep that much too early, and it is woken by its next use.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from galaxy_engine.failures import EngineFailure, OutOfMemory, StartFailed, Unhealthy
from galaxy_kernel.api import (
    Cache,
    Connection,
    Context,
    LeaseLostError,
    Problem,
    found_work,
    not_found,
)
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines import queries
from galaxy_runtime.engines.acting import EngineActions
from galaxy_runtime.engines.domain import FAILURES, Engine, EngineState, broke_off
from galaxy_runtime.engines.host import HEALTH_POLL, EngineHost
from galaxy_runtime.engines.leases import EngineLeases, Held
from galaxy_runtime.errors import engine_stopped, engine_waking
from galaxy_runtime.records.service import RECONCILE_WORKER
from galaxy_runtime.settings import RuntimeSettings

_END_SHOWS = 2.0
"""Seconds within which the host shows how an engine ended whose call broke off."""


class EngineService:
    """Implements `galaxy_runtime.engines.domain.Engines`."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        host: EngineHost,
        leases: EngineLeases,
        actions: EngineActions,
    ) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._host, self._leases, self._actions = host, leases, actions
        self._starting: dict[UUID, asyncio.Task[EngineState]] = {}
        self._suspected: set[UUID] = set()
        self._used: set[UUID] = set()

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

    async def cause(self, game_id: UUID, generation: int, failure: EngineFailure) -> EngineFailure:
        """Return what is behind the failure of a call; see the protocol."""
        if not broke_off(failure):
            return failure
        self.suspect(game_id)
        out_of_memory: bool | None = None
        with suppress(TimeoutError, EngineFailure):
            async with asyncio.timeout(_END_SHOWS):
                while (out_of_memory := await self._out_of_memory(game_id, generation)) is None:  # noqa: ASYNC110 # of the host
                    await asyncio.sleep(HEALTH_POLL)
        if not out_of_memory:
            return failure
        return OutOfMemory(f"the engine of game {game_id} used more memory than its limit", str(failure))

    async def log(self, game_id: UUID, generation: int) -> str:
        """Return the end of what an engine wrote; see the protocol."""
        with suppress(EngineFailure):
            if (seen := await self._host.find(game_id, generation)) is not None:
                return await self._host.log(seen.handle)
        return ""

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
        await self._actions.settle(game_id)

    @asynccontextmanager
    async def replacing(self, game_id: UUID, *, version_id: UUID, image: str) -> AsyncIterator["NewEngine"]:
        """Make an engine beside a game's own; see the protocol."""
        async with self._leases.hold(game_id, wake=True) as held:
            await self._actions.reserve(held)
            await held.note(generation_issued=held.state.generation_issued + 1)
            try:
                yield await self._beside(held, version_id, image)
            except EngineFailure as failure:
                raise await self._actions.explained(held, failure, image) from None
            finally:
                with suppress(EngineFailure, LeaseLostError, Problem):  # else whoever looks next removes it
                    await asyncio.shield(self._actions.converge(held))

    async def _beside(self, held: Held, version_id: UUID, image: str) -> "NewEngine":
        """Make an engine of the generation that was issued last; return it healthy."""
        driver, game_id, generation = await self._host.driver(), held.state.game_id, held.state.generation_issued
        prepared = await driver.prepare(image, self._host.drivers.pull_policy)
        spec = await self._host.spec(held.state, generation, prepared.digest or prepared.image)
        seen = await driver.launch(spec)
        if seen.state != "running" or seen.address is None:
            raise StartFailed(f"the engine {spec.id.name} ended at once", seen.detail)
        client = self._host.client(seen.address, game_id, generation)
        await self._host.await_health(client, game_id, generation)
        described = await self._host.examine(client, version_id)
        return NewEngine(held, Engine(client, described, generation, version_id), seen.handle, seen.address)

    async def note_used(self) -> None:
        """Write which engines were used since the last time."""
        used, self._used = self._used, set()
        if not used:
            return
        found_work()
        try:
            async with self._context.database.transaction() as connection:
                await queries.note_used(connection, used, self._time.shift)
        except BaseException:
            self._used |= used
            raise

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
        async with self._slots, self._leases.hold(game_id, wake=True) as held:
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

    async def _out_of_memory(self, game_id: UUID, generation: int) -> bool | None:
        """Return whether an engine has ended for want of memory; None while it neither answers nor has ended.

        By what is left of it, or else by its game's record, where the end is noted before anything is removed.
        """
        if (seen := await self._host.find(game_id, generation)) is None:
            async with self._context.database.reading() as connection:
                state = await queries.find_state(connection, game_id)
            return state is not None and state.oom_generation == generation
        if seen.state == "ended":
            return seen.oom_killed
        try:
            await self._host.client(seen.address or "", game_id, generation).health()
        except Unhealthy:
            return None
        return False

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
