"""One claimed turn, from its input to its commit; the engine's failures end here.

What a crash leaves behind, between any two lines: the claim, with its lease. Orders are closed, and the engine may have
adjudicated: that is worth nothing. When the lease ends the turn is claimed again, and the engine loaded from the
snapshot again. A claim that is no longer ours changes nothing: every statement here names its number.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from galaxy_contracts.runtime import Failure
from galaxy_engine.failures import (
    EngineFailure,
    EngineNondeterministic,
    OutOfMemory,
)
from galaxy_kernel.api import Context, LeaseLostError, Problem, is_unavailable, request_id
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines.domain import Engine, Engines
from galaxy_runtime.errors import ENGINE_STOPPED, ENGINE_WAKING, UnknownZoneError
from galaxy_runtime.metrics import TurnMetrics
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.turns import queries
from galaxy_runtime.turns.adjudication import Adjudicated, TurnInput, adjudicate
from galaxy_runtime.turns.commit import Commits, ComputedTurn, OwnerRefusedError
from galaxy_runtime.turns.domain import RETRY_DELAYS, Claim, InputRecord, seed_of
from galaxy_runtime.turns.positions import NewPosition
from galaxy_runtime.turns.service import TurnService
from galaxy_runtime.turns.slots import NoSlotError, Slots

INTERNAL_ERROR = "internal_error"
OWNER_REFUSED = "owner_refused"
_PATIENCE = timedelta(seconds=10)
"""How long a turn waits for its engine before it makes room for another game's."""
_NO_ENGINE = timedelta(seconds=5)
_NO_ENGINE_DELAYS = {ENGINE_WAKING: timedelta(seconds=1), ENGINE_STOPPED: timedelta(seconds=10)}
"""After which a turn is tried again that could not have an engine, by the problem's code."""
_MOST_BYTES = 8 * 1024 * 1024
"""Of states read in one statement, unless a single one has more: each costs the driver several times its size."""
_ORDER_LEASE_LOOK = 0.1
"""Seconds between two looks at whether orders are still being judged."""


class NoEngineError(Exception):
    """No engine could be had: the attempt does not count."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay


class Inputs:
    """What the turns of one pass are computed from, read in one statement while they wait for it."""

    def __init__(self, context: Context[RuntimeSettings], time: DatabaseTime, claims: Sequence[Claim]) -> None:
        """Begin to read."""
        self._context, self._time = context, time
        self._reading = asyncio.create_task(self._read_together([claim.key for claim in claims]), name="input of turns")
        self._ended = asyncio.Event()
        self._reading.add_done_callback(lambda _: self._ended.set())

    @property
    def reading(self) -> bool:
        """Whether the statement has not ended."""
        return not self._reading.done()

    async def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def wait(self) -> None:
        """Wait until the statement has ended."""
        await self._ended.wait()

    async def of(self, claim: Claim) -> tuple[InputRecord, bytes] | None:
        """Return what a turn is computed from, and the state; None when its claim is no longer held.

        One that was left out, since the states of others were large, is read by itself. Each is returned once, so that
        a turn that takes long keeps the states of no others in memory.
        """
        await self.wait()
        return self._reading.result().pop(claim.game_id, None) or (await self._read([claim.key])).get(claim.game_id)

    async def _read_together(self, keys: Sequence[tuple[UUID, int]]) -> dict[UUID, tuple[InputRecord, bytes]]:
        """Return nothing where that fails: each is read by itself then, and one's fault costs no other an attempt."""
        try:
            return await self._read(keys)
        except Exception as error:
            if is_unavailable(error):
                raise
            self._context.log.warning("turn_inputs_split", games=len(keys), exc_info=error)
            return {}

    async def _read(self, keys: Sequence[tuple[UUID, int]]) -> dict[UUID, tuple[InputRecord, bytes]]:
        async with self._context.database.reading() as connection:
            return await queries.read_inputs(connection, keys, _MOST_BYTES, self._time.shift)


class TurnRunner:
    """Runs claimed turns."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        time: DatabaseTime,
        engines: Engines,
        turns: TurnService,
        commits: Commits,
        slots: Slots,
        metrics: TurnMetrics,
    ) -> None:
        self._context, self._time, self._engines = context, time, engines
        self._turns, self._commits, self._slots, self._metrics = turns, commits, slots, metrics

    def read(self, claims: Sequence[Claim]) -> Inputs:
        """Begin to read what claimed turns are computed from."""
        return Inputs(self._context, self._time, claims)

    async def run(self, claim: Claim, inputs: Inputs, computed: Callable[[], None]) -> None:
        """Run a claimed turn to its end: committed, given back, or found to be another's.

        `computed` is called when it has its engine's answer, and waits for its commit.
        """
        begun = self._context.clock.monotonic()
        try:
            done = await self._attempt(claim, inputs, computed)
        except NoEngineError as waiting:
            self._context.log.info("turn_engine_missing", game_id=str(claim.game_id), reason=str(waiting))
            await self._turns.give_back(claim, waiting.delay)
        except NoSlotError as waiting:
            self._context.log.info("turn_slot_missing", game_id=str(claim.game_id), reason=str(waiting))
            await self._turns.give_back(claim, RETRY_DELAYS[0])
        except UnknownZoneError as error:  # gone since the claim
            self._context.log.error("turn_without_time_zone", game_id=str(claim.game_id), time_zone=error.zone)
            await self._turns.give_back(claim, RETRY_DELAYS[-1])
        except Exception as error:
            if is_unavailable(error) and not isinstance(error, EngineFailure):  # whose cause may be a lost connection
                raise  # nothing can be written: the lease ends, and the turn is claimed again
            await self._failed(claim, error)
        else:
            self._metrics.ran(self._context.clock.monotonic() - begun, committed=done)

    async def _attempt(self, claim: Claim, inputs: Inputs, computed: Callable[[], None]) -> bool:
        await inputs.wait()  # before the slot, in which nothing is to wait but the engine
        async with self._slots.one() as slot:
            if (read := await inputs.of(claim)) is None:
                return False
            slot.size = len(read[1])
            turn = await self._compute(claim, *read)
        computed()
        return await self._commits.commit(turn)

    async def _compute(self, claim: Claim, record: InputRecord, state: bytes) -> ComputedTurn:
        """Have the engine adjudicate. Raise its failure, or NoEngineError."""
        given, begun = _input_of(record, state), self._context.clock.monotonic()
        engine = await self._open(claim)
        if not engine.describe.can("bundle"):
            await self._order_lease_ended(claim, record.order_lease)
        verify = self._context.random.random() < self._context.settings.verify
        try:
            adjudicated = await adjudicate(engine.client, engine.describe, given, verify=verify)
        except EngineFailure as failure:
            raise await self._engines.cause(claim.game_id, engine.generation, failure) from None
        duration = timedelta(seconds=self._context.clock.monotonic() - begun)
        return _computed(claim, record, given, engine, adjudicated, duration)

    async def _open(self, claim: Claim) -> Engine:
        """Return the game's engine. Raise NoEngineError where there is none, whatever the reason."""
        try:
            return await self._engines.open(claim.game_id, _PATIENCE)
        except Problem as problem:
            raise NoEngineError(_NO_ENGINE_DELAYS.get(problem.code, _NO_ENGINE), problem.code) from None
        except EngineFailure as failure:
            raise NoEngineError(_NO_ENGINE, failure.code) from failure
        except LeaseLostError as error:  # on the engine: another process holds it
            raise NoEngineError(_NO_ENGINE, str(error)) from error

    async def _order_lease_ended(self, claim: Claim, left: float | None) -> None:
        """Wait until nobody uses the engine's memory for orders any more; the claim lets nobody begin."""
        while left is not None and left > 0:
            await asyncio.sleep(min(left, _ORDER_LEASE_LOOK))
            async with self._context.database.reading() as connection:
                left = await queries.order_lease(connection, claim.game_id, self._time.shift)

    async def _failed(self, claim: Claim, error: Exception) -> None:
        failure = _failure_of(claim, error)
        self._metrics.failed(failure.code)
        self._context.log.warning(
            "turn_attempt_failed",
            game_id=str(claim.game_id),
            turn=claim.turn,
            attempt=claim.attempt,
            failure=failure.code,
            detail=getattr(error, "detail", ""),
            exc_info=None if isinstance(error, EngineFailure) else error,
        )
        last = claim.attempt >= self._context.settings.turn_attempts or isinstance(error, EngineNondeterministic)
        if last or (isinstance(error, OutOfMemory) and claim.failure == OutOfMemory.code):
            await self._turns.quarantine(claim, failure)
        else:
            delay = RETRY_DELAYS[min(claim.attempt, len(RETRY_DELAYS)) - 1]
            await self._turns.give_back(claim, delay, failure.code)


def _failure_of(claim: Claim, error: Exception) -> Failure:
    if isinstance(error, EngineFailure):
        return Failure(error.code, str(error))
    if isinstance(error, OwnerRefusedError):
        return Failure(OWNER_REFUSED, str(error))
    return Failure(INTERNAL_ERROR, f"turn {claim.turn} of game {claim.game_id} failed with {type(error).__name__}")


def _input_of(record: InputRecord, state: bytes) -> TurnInput:
    seats, absent = record.seats, record.absent or ()
    return TurnInput(
        game_id=record.game_id,
        turn=record.turn,
        state=state,
        seats=tuple(sorted(seats)),
        orders=record.sets,
        machines=tuple(seat for seat in record.awaiting if seats[seat].machine),
        absent=absent,
        vacant=tuple(seat for seat in absent if seats[seat].vacant),
        seed=seed_of(record.secret, record.game_id, record.turn, record.epoch),
    )


def _computed(
    claim: Claim, record: InputRecord, given: TurnInput, engine: Engine, adjudicated: Adjudicated, duration: timedelta
) -> ComputedTurn:
    made = NewPosition(
        game_id=claim.game_id,
        epoch=record.epoch,
        position=adjudicated.position,
        seats=given.seats,
        trigger=record.trigger,
        final_seat=record.final_seat,
        due_at=claim.due_at,
        claimed_at=claim.claimed_at,
        duration=duration,
        seed=given.seed,
        absent=given.absent,
        vacant=given.vacant,
        orders_digest=adjudicated.orders_digest,
        engine_version_id=engine.version_id,
        generation=engine.generation,
        request_id=request_id(),
    )
    return ComputedTurn(claim=claim, made=made, orders=adjudicated.orders, stored=frozenset(given.orders))
