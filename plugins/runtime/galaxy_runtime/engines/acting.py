"""Doing what the plan says, under the lease, one action at a time; after each the host is looked at again.

What a crash leaves behind, by where the process dies:

- after a generation was committed, before its engine was created: nothing is there, nothing is noted: launched again;
- after the launch was sent, or answered, before it was noted: an engine of the record's generation, found by its name
  and adopted;
- after it was noted, before the lease was given back: everything is there, and the lease ends;
- after an engine was withdrawn from turns, before its removal: it is removed, or adopted where it is wanted again;
- after a removal was sent: nothing is there, and the handle is noted: forgotten, or replaced by the next generation;
- a slow process that creates generation g after g + 1 runs: both are there, and g is removed by whoever looks next.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from uuid import UUID

import msgspec

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.runtime import Failure
from galaxy_engine.drivers.driver import EngineDriver, Observed
from galaxy_engine.failures import (
    EngineFailure,
    HostUnreachable,
    NameTaken,
    OutOfMemory,
    StartFailed,
    Unhealthy,
)
from galaxy_kernel.api import Connection, Context, LeaseLostError, Problem
from galaxy_runtime.engines.domain import LOG_TAIL, MOST_CRASHES, lines_of
from galaxy_runtime.engines.host import GRACE, EngineHost
from galaxy_runtime.engines.leases import EngineLeases, Held
from galaxy_runtime.engines.places import Places
from galaxy_runtime.errors import engine_busy, engine_waking
from galaxy_runtime.metrics import ENGINE_CRASHES, ENGINE_STARTS
from galaxy_runtime.notices import Notices
from galaxy_runtime.reconciling import Action, Adopt, Forget, Launch, Raise, Remove, Renew, Start, plan
from galaxy_runtime.records.service import RecordService
from galaxy_runtime.settings import RuntimeSettings

_MOST_ACTIONS = 20
"""Of one game in one go: a host that changes all the time is looked at again later."""
_MOST_ROOM = 4
"""Tries to have a place, when others take what was made free."""
_NONE = {"handle": None, "address": None, "status": "none", "healthy_since": None, "unhealthy_since": None}


class EngineActions:
    """Brings one game's engine to what its record wants."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        host: EngineHost,
        leases: EngineLeases,
        places: Places,
        records: RecordService,
        notices: Notices,
    ) -> None:
        self._context, self._host, self._leases, self._places = context, host, leases, places
        self._records, self._notices = records, notices
        self._starts = ENGINE_STARTS.on(context.meter)
        self._crashes = ENGINE_CRASHES.on(context.meter)

    async def settle(self, game_id: UUID) -> None:
        """Bring a game's engine to what its record wants, now. Raise the failure that stands in the way."""
        async with self._leases.hold(game_id) as held:
            await self.converge(held)

    async def settle_all(self, game_ids: Iterable[UUID]) -> None:
        """Bring engines to what their records want, some at once; failures are noted where they belong."""
        free = asyncio.Semaphore(self._context.settings.start_concurrency)

        async def settle(game_id: UUID) -> None:
            async with free:
                try:
                    await self.settle(game_id)
                except (EngineFailure, Problem, LeaseLostError) as failure:
                    self._context.log.warning("engine_not_settled", game_id=str(game_id), reason=str(failure))
                except Exception as error:  # of one game: the others go on
                    self._context.log.error("engine_settling_failed", game_id=str(game_id), exc_info=error)

        async with asyncio.TaskGroup() as tasks:
            for game_id in game_ids:
                tasks.create_task(settle(game_id))

    async def converge(self, held: Held) -> None:
        """Act until there is nothing to do now. Raise the failure that stands in the way, after noting it."""
        driver, owner = await self._host.driver(), await self._host.owner()
        for _ in range(_MOST_ACTIONS):
            engines = await driver.observe(held.state.game_id)
            actions = plan(owner, [held.state.desired(in_hand=False)], engines, held.state.now)
            if not actions:
                return
            for action in actions:
                await self._act(held, action, engines, driver)

    async def _act(self, held: Held, action: Action, engines: Sequence[Observed], driver: EngineDriver) -> None:
        match action:
            case Remove(handle=handle):
                if handle == held.state.handle:
                    await self._withdraw(held)
                await driver.remove(handle, GRACE)
            case Forget():
                await held.note(**_NONE, **({"crashes": 0} if held.state.healed else {}))
            case Raise(above=above):
                issued = {"generation": above + 1, "generation_issued": above + 1}
                await held.note(**{**_NONE, "status": "starting"}, **issued)
            case Launch() | Start():
                await self._launch(held, driver)
            case Adopt(handle=handle, address=address):
                await self._adopt(held, driver, handle, address)
            case Renew():
                await self._renew(held, driver, action, engines)

    async def _launch(self, held: Held, driver: EngineDriver) -> None:
        state = held.state
        try:
            await self.reserve(held)
            image = await self._prepare(held, driver)
            await driver.launch(await self._host.spec(state, state.generation, image))
        except HostUnreachable:
            raise
        except NameTaken as failure:
            async with self._context.database.transaction() as connection:
                await held.note_with(connection, **state.next_generation())
                await self._tell(connection, held, failure)
        except EngineFailure as failure:
            await self._failed(held, failure)
            raise

    async def reserve(self, held: Held) -> None:
        """Have a place for a game's engine: a free one, or that of an engine which nobody uses.

        Raise the problem `engine_waking` where there is none: then the engine sleeps until it is asked for again.
        """
        for _ in range(_MOST_ROOM):
            if await self._places.reserve(held):
                return
            if not (asleep := await self._places.make_room(held.state.game_id)):
                break
            await self.settle_all(asleep)
        await held.note(wanted="idle")
        raise engine_waking()

    async def _prepare(self, held: Held, driver: EngineDriver) -> str:
        """Have a game's image at hand; return what to launch: the digest where there is one, which is noted."""
        state = held.state
        if state.status != "pulling":
            await held.note(status="pulling")
        prepared = await driver.prepare(state.digest or state.image, self._host.drivers.pull_policy)
        digest = state.digest or prepared.digest
        await held.note(status="starting", digest=digest)
        return digest or prepared.image

    async def _adopt(self, held: Held, driver: EngineDriver, handle: str, address: str | None) -> None:
        state = held.state
        if address is None:
            raise HostUnreachable(f"the engine of game {state.game_id} runs, and has no address yet")
        client = self._host.client(address, state.game_id, state.generation)
        try:
            await self._host.await_health(client, state.game_id, state.generation)
            described = await self._host.examine(client, state.engine_version_id)
        except EngineFailure as failure:
            seen = [each for each in await driver.observe(state.game_id) if each.handle == handle]
            if not seen or seen[0].state != "running":
                return  # it has ended meanwhile: the next look says how
            log = await self._host.log(handle)
            await driver.remove(handle, GRACE)
            await self._failed(held, failure, log)
            raise
        await self._introduce(
            state.engine_version_id, msgspec.json.decode(msgspec.json.encode(described)), state.digest
        )
        healthy = {"status": "healthy", "handle": handle, "address": address, "healthy_since": held.state.now}
        await held.note(**healthy, unhealthy_since=None, failure=None, failure_detail=None, not_before=None)
        self._starts.add(1, {"outcome": "healthy"})
        self._context.log.info("engine_started", game_id=str(state.game_id), generation=state.generation)

    async def _introduce(self, version_id: UUID, described: dict[str, object], digest: str | None) -> None:
        """Have the registry keep what the first start of a version has shown."""
        versions = self._context.require(ENGINE_VERSIONS)
        version = versions.get(version_id)
        if version is not None and (version.describe is None or (digest is not None and version.digest is None)):
            async with self._context.database.transaction() as connection:
                await versions.record_start(connection, version_id, describe=described, digest=digest)

    async def _renew(self, held: Held, driver: EngineDriver, action: Renew, engines: Sequence[Observed]) -> None:
        ended = next((each for each in engines if each.handle == action.handle), None)
        log = "" if action.handle is None else await self._host.log(action.handle)
        if ended is not None and action.reason == "unhealthy":
            await self._withdraw(held)
            await driver.remove(ended.handle, GRACE)  # first: until it is gone it has its place
        name = f"the engine of game {action.game_id}, generation {action.generation},"
        failure: EngineFailure
        if action.reason == "unhealthy":
            failure = Unhealthy(f"{name} does not answer")
        elif ended is None:
            failure = StartFailed(f"{name} is gone: somebody removed it")
        else:
            failure = ending_of(ended, name)
        self._crashes.add(1, {"reason": failure.code})
        self._context.log.warning("engine_crashed", game_id=str(action.game_id), reason=str(failure))
        await self._failed(held, failure, log, tell=isinstance(failure, OutOfMemory))

    async def _withdraw(self, held: Held) -> None:
        """Withdraw the game's engine from those who would use it. Raise the problem `engine_busy` while a turn runs."""
        if held.state.address is not None and not await held.withdraw():
            raise engine_busy()

    async def _failed(self, held: Held, failure: EngineFailure, log: str = "", *, tell: bool = True) -> None:
        """Note a crash; after `MOST_CRASHES` the game is paused. Operators are told once a day."""
        state = held.state
        self._starts.add(1, {"outcome": failure.code})
        values = state.crashed(failure, log)
        last = values["crashes"] >= MOST_CRASHES
        async with self._context.database.transaction() as connection:
            await self._records.lock(connection, [state.game_id])
            await held.note_with(connection, **values)
            if tell or last:
                await self._tell(connection, held, failure)
            if last and state.playing:
                await self._records.quarantine(connection, state.game_id, Failure(failure.code, str(failure)))

    async def explained(self, held: Held, failure: EngineFailure, image: str) -> EngineFailure:
        """Return the failure of the engine that was issued last, by how it ended and with what it wrote.

        For one that was made beside the game's own. Operators are told, as of the game's own.
        """
        if isinstance(failure, HostUnreachable):
            return failure
        seen, log = None, ""
        with suppress(EngineFailure):  # of the host: the engine's own goes before it
            seen = await self._host.find(held.state.game_id, held.state.generation_issued)
        if seen is not None:
            log = await self._host.log(seen.handle)
            if seen.state == "ended":
                failure = ending_of(seen, f"the engine {seen.id.name}")
        failure.detail = lines_of(failure.detail, log)[:LOG_TAIL]
        async with self._context.database.transaction() as connection:
            await self._tell(connection, held, failure, image)
        return failure

    async def _tell(self, connection: Connection, held: Held, failure: EngineFailure, image: str | None = None) -> None:
        state = held.state
        told, image = Failure(failure.code, str(failure)), image or state.image
        await self._notices.tell(connection, told, game_id=state.game_id, image=image, turn=state.turn, now=state.now)


def ending_of(ended: Observed, name: str) -> EngineFailure:
    """Return how an engine of this name ended, as a failure."""
    if ended.oom_killed:
        return OutOfMemory(f"{name} used more memory than its limit", ended.detail)
    return StartFailed(f"{name} ended with status {ended.exit_code}", ended.detail)
