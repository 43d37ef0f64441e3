"""Working at operations: claimed under a lease, carried to their end, whoever began them.

A pass claims and starts tasks; it does not wait for them, so that a slow image holds up no other game. What a crash
leaves behind is an open row whose lease ends: it is taken up, and what it comes to is what the world shows then.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from time import monotonic
from uuid import UUID

from galaxy_contracts.runtime import Failure, Operation
from galaxy_engine.failures import EngineFailure, HostUnreachable
from galaxy_kernel.api import (
    Cache,
    Context,
    LeaseKeeper,
    LeaseLostError,
    Problem,
    found_work,
    is_unavailable,
    request_context,
)
from galaxy_runtime.caches import Record
from galaxy_runtime.engines.domain import Engine, Engines, lines_of
from galaxy_runtime.errors import ENGINE_STOPPED, UnknownZoneError
from galaxy_runtime.metrics import OPERATION_DURATION, OPERATIONS
from galaxy_runtime.operations import queries
from galaxy_runtime.operations.domain import LEASE, MOST_STARTS, TRANSIENT, Claim
from galaxy_runtime.operations.replacing import Replacements
from galaxy_runtime.operations.starting import Beginnings
from galaxy_runtime.records.service import OPERATION_WORKER, TURN_WORKER
from galaxy_runtime.settings import RuntimeSettings

_PATIENCE = timedelta(minutes=30)
"""For an engine whose image may have to be pulled; a pull without progress fails much sooner."""
_AGAIN = 0.5
"""Seconds between two looks for an engine that cannot be had yet."""
_MOST_TAKEN_UP = 5
"""After so many an operation that meets unexpected errors has failed."""
INTERNAL_ERROR = "internal_error"
_MOST = 64
"""Operations that one process works at."""


class OperationRunner:
    """The operations that one process works at."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        engines: Engines,
        beginnings: Beginnings,
        replacements: Replacements,
    ) -> None:
        self._context, self._cache, self._engines = context, cache, engines
        self._beginnings, self._replacements = beginnings, replacements
        self._keeper = LeaseKeeper(self._renew, lease=LEASE)
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._ended = OPERATIONS.on(context.meter)
        self._durations = OPERATION_DURATION.on(context.meter)

    async def work(self) -> bool:
        """Claim what nobody works at; return whether there may be more."""
        free = _MOST - len(self._running)
        if free <= 0:
            return False
        async with self._context.database.transaction() as connection:
            claims = await queries.claim(connection, free)
        found_work(claims)
        for claim in claims:
            task = asyncio.create_task(self._carry_out(claim), name=f"operation {claim.operation} {claim.id}")
            self._running[claim.id] = task
            task.add_done_callback(lambda _, claim=claim: self._done(claim))  # type: ignore[misc]
        return len(claims) == free

    async def close(self) -> None:
        """Leave operations to other processes."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, claim: Claim) -> None:
        del self._running[claim.id]
        self._context.wakeups.event(OPERATION_WORKER).set()

    async def _carry_out(self, claim: Claim) -> None:
        started = monotonic()
        with request_context(self._context.plugin, claim.request_id):
            try:
                async with self._keeper.keep((claim.id, claim.lease)):
                    outcome = await self._outcome(claim)
            except asyncio.CancelledError:
                await asyncio.shield(self._release(claim))
                raise
            except LeaseLostError as error:
                self._context.log.warning("operation_left", operation=str(claim.id), reason=str(error))
                return
            except UnknownZoneError as error:
                log, zone = self._context.log, error.zone
                log.error("operation_without_time_zone", game_id=str(claim.game_id), time_zone=zone)
                return  # as below
            except Exception as error:
                if not is_unavailable(error):
                    self._context.log.error("operation_broken", operation=str(claim.id), exc_info=error)
                    await self._give_up(claim, error)
                return  # its lease ends, and it is taken up again
            self._ended.add(1, {"operation": claim.operation, "outcome": outcome})
            self._durations.record(monotonic() - started, {"operation": claim.operation})
            self._context.log.info(
                "operation_finished", operation=claim.operation, game_id=str(claim.game_id), outcome=outcome
            )

    async def _give_up(self, claim: Claim, error: Exception) -> None:
        """End an operation that has met errors of ours again and again."""
        if claim.taken_up < _MOST_TAKEN_UP:
            return
        failure = Failure(INTERNAL_ERROR, f"{claim.operation} failed with {type(error).__name__}: a bug of ours")
        async with self._context.database.reading() as connection:
            game = await queries.find_new_game(connection, claim.game_id)
        if claim.operation is Operation.START and game is not None:
            await self._beginnings.fail(claim, game, failure, None)
        else:
            await self._finish(claim, outcome="failed", error_code=failure.code, error=failure.message)

    async def _outcome(self, claim: Claim) -> str:
        """Carry an operation to its end and return its outcome."""
        match claim.operation:
            case Operation.START:
                return await self._start(claim)
            case Operation.STOP:
                return await self._stop(claim)
            case _:
                return await self._replace(claim)

    async def _start(self, claim: Claim) -> str:
        async with self._context.database.reading() as connection:
            game = await queries.find_new_game(connection, claim.game_id)
        try:
            await self._step(claim, "engine")
            engine = await self._engine(claim)
            if game is None:
                await self._finish(claim, outcome="succeeded", step="done", generation=engine.generation)
                self._context.wakeups.wake(TURN_WORKER)
                return "succeeded"
            await self._step(claim, "init")
            try:
                await self._beginnings.begin(claim, game, engine)
            except EngineFailure as failure:
                raise await self._explained(claim, engine, failure) from None
        except EngineFailure as failure:
            told = Failure(failure.code, str(failure)[:2000])
            if game is None:
                values = {"error_code": told.code, "error": told.message, "log_tail": failure.detail or None}
                await self._finish(claim, outcome="failed", **values)
            else:
                await self._beginnings.fail(claim, game, told, failure.detail or None)
            return "failed"
        return "succeeded"

    async def _explained(self, claim: Claim, engine: Engine, failure: EngineFailure) -> EngineFailure:
        """Return what is behind an engine's failure, with what it wrote."""
        cause = await self._engines.cause(claim.game_id, engine.generation, failure)
        log = await self._engines.log(claim.game_id, engine.generation)
        cause.detail = lines_of(cause.detail, log)
        return cause

    async def _engine(self, claim: Claim) -> Engine:
        """Return the game's engine, however long it takes. Raise the failure that will not pass."""
        while True:
            try:
                return await self._engines.open(claim.game_id, _PATIENCE)
            except HostUnreachable:
                pass
            except EngineFailure as failure:  # of now, or noted: it is tried again after its back-off
                if failure.code not in TRANSIENT or await self._failures(claim) >= MOST_STARTS:
                    raise
            except Problem as problem:
                if problem.code == ENGINE_STOPPED or (problem.status == 404 and await self._ended_game(claim)):
                    raise LeaseLostError(f"game {claim.game_id} wants no engine any more") from problem
            await asyncio.sleep(_AGAIN)

    async def _failures(self, claim: Claim) -> int:
        """Return how often in a row the game's engine could not be started, or ended."""
        async with self._context.database.reading() as connection:
            return await queries.find_crashes(connection, claim.game_id)

    async def _ended_game(self, claim: Claim) -> bool:
        """Return whether the game has ended: memory may not know yet that it was begun."""
        async with self._context.database.reading() as connection:
            return await queries.find_version(connection, claim.game_id) is None

    async def _stop(self, claim: Claim) -> str:
        await self._step(claim, "removal")
        while True:
            try:
                await self._engines.settle(claim.game_id)
                break
            except (EngineFailure, Problem) as failure:  # such as a turn that runs on it
                self._context.log.info("engine_not_removed", game_id=str(claim.game_id), reason=str(failure))
            await asyncio.sleep(_AGAIN)
        await self._finish(claim, outcome="succeeded", step="done")
        return "succeeded"

    async def _replace(self, claim: Claim) -> str:
        async with self._context.database.reading() as connection:
            current = await queries.find_version(connection, claim.game_id)
        if current is None:
            raise LeaseLostError(f"game {claim.game_id} has ended")
        version_id = UUID(claim.input["to"]) if "to" in claim.input else current
        try:
            await self._step(claim, "replacement")
            await self._replacements.replace(claim, self._replacements.version(version_id))
        except EngineFailure as failure:
            detail = failure.detail or None
            values = {"outcome": "rolled_back", "error_code": failure.code, "error": str(failure), "log_tail": detail}
            await self._finish(claim, **values)
            return "rolled_back"
        self._context.wakeups.wake(TURN_WORKER)
        return "succeeded"

    async def _step(self, claim: Claim, name: str) -> None:
        async with self._context.database.transaction() as connection:
            if not await queries.step(connection, claim, name):
                raise LeaseLostError(f"operation {claim.id} is in other hands, or has ended")

    async def _finish(self, claim: Claim, **values: object) -> None:
        async with self._context.database.transaction() as connection:
            await queries.finish(connection, claim, **values)

    async def _release(self, claim: Claim) -> None:
        try:
            async with self._context.database.transaction() as connection:
                await queries.release(connection, claim)
        except Exception as error:
            if not is_unavailable(error):
                raise

    async def _renew(self, held: Sequence[tuple[UUID, int]]) -> Collection[tuple[UUID, int]]:
        async with self._context.database.transaction() as connection:
            return await queries.renew(connection, held)
