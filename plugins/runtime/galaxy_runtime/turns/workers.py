"""The worker `runtime.turns`, on every replica: claims what is due and runs it in tasks that outlive the pass.

What a crash leaves behind: claims, whose leases end within `LEASE`; see `turns.running`. A process that stops in order
returns its claims, uncounted, so that another replica takes them up at once.
"""

import asyncio
import contextvars
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from galaxy_kernel.api import Context, LeaseKeeper, LeaseLostError, Worker, found_work, request_context
from galaxy_runtime.clocks.service import ClockService
from galaxy_runtime.metrics import TurnMetrics
from galaxy_runtime.records.service import TURN_WORKER
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.turns.commit import Commits
from galaxy_runtime.turns.domain import INTERVAL, LEASE, Claim
from galaxy_runtime.turns.running import Inputs, TurnRunner
from galaxy_runtime.turns.service import TurnService
from galaxy_runtime.turns.slots import Slots

_SHORTEST_WAIT = 0.02
"""Seconds between two passes that claim nothing though a turn is due: its record is locked."""
_RESOLUTION = 0.001
"""Seconds by which a wait may be too short, as it counts from before the claim and timers have milliseconds: a pass
that is too early claims nothing."""


class TurnWorker:
    """One replica's worker."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        clocks: ClockService,
        turns: TurnService,
        runner: TurnRunner,
        commits: Commits,
        slots: Slots,
        metrics: TurnMetrics,
    ) -> None:
        self._context, self._clocks, self._turns = context, clocks, turns
        self._runner, self._commits, self._slots, self._metrics = runner, commits, slots, metrics
        self._keeper: LeaseKeeper[tuple[UUID, int]] = LeaseKeeper(turns.renew, lease=LEASE)
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._adjudicating: set[tuple[UUID, int]] = set()
        """Claims of those that have no answer of their engine yet."""
        self._inputs: Sequence[Inputs] = ()
        """Of the last pass that claimed, and those that are being read."""
        self._stopping = False
        self._more = False
        """Whether turns may be left to claim: then an engine's answer begins the next pass."""

    async def run(self) -> bool | timedelta | None:
        """Claim as many due turns as soon have a slot, and start them; return when the next pass is due."""
        self._metrics.running(len(self._running))
        if self._stopping or (latest := await self._clocks.latest()) is None:
            return None
        return await self._claim(latest)

    @property
    def _free(self) -> int:
        return min(self._slots.claimable - len(self._adjudicating), self._commits.room)

    async def _claim(self, latest: datetime) -> bool | timedelta | None:
        free = self._free
        self._more = free <= 0
        if self._more:
            return None
        looked_at = self._context.clock.monotonic()
        found = await self._turns.claim(free, latest)
        self._more = found.more
        if self._stopping:  # meanwhile
            await self._turns.release(found.claims)
            return None
        if found.now > latest:
            self._clocks.leapt()
            return True
        found_work(found.claims)
        self._start(found.claims)
        if self._more:
            return self._free > 0  # also those that became free meanwhile
        seconds = await self._turns.seconds_until_due(found.now)
        return None if seconds is None else wait_for_turn(seconds, self._context.clock.monotonic() - looked_at)

    async def close(self) -> None:
        """Stop what runs, and return its claims."""
        self._stopping = True
        running = dict(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for inputs in self._inputs:
            await inputs.close()
        await self._commits.close()
        if running:
            await self._turns.release(list(running.values()))

    def _start(self, claims: Sequence[Claim]) -> None:
        """Begin claimed turns, each in a context of its own: they outlive the pass that claimed them."""
        if not claims:
            return
        inputs = self._runner.read(claims)
        self._inputs = [*(each for each in self._inputs if each.reading), inputs]
        for claim in claims:
            task = asyncio.create_task(
                self._run(claim, inputs), name=f"turn of {claim.game_id}", context=contextvars.Context()
            )
            self._running[task] = claim
            self._adjudicating.add(claim.key)
            task.add_done_callback(self._ended)
        self._metrics.running(len(self._running))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._computed(self._running.pop(task))
        if not self._running:  # else the next pass says how many: they end by dozens
            self._metrics.running(0)

    def _computed(self, claim: Claim) -> None:
        """Make room for others than a turn that needs its engine no more."""
        self._adjudicating.discard(claim.key)
        if self._more:
            self._context.wakeups.event(TURN_WORKER).set()

    async def _run(self, claim: Claim, inputs: Inputs) -> None:
        with request_context(self._context.plugin):
            try:
                async with self._keeper.keep(claim.key):
                    await self._runner.run(claim, inputs, partial(self._computed, claim))
            except LeaseLostError:
                self._context.log.info("turn_claim_lost", game_id=str(claim.game_id), turn=claim.turn)
            except Exception as error:  # the lease ends, and the turn is claimed again
                self._context.log.error("turn_interrupted", game_id=str(claim.game_id), turn=claim.turn, exc_info=error)


def wait_for_turn(seconds: float, passed: float) -> timedelta:
    """Return how long to wait for a turn that is due so many seconds after the last look, of which some have passed."""
    if seconds <= 0:
        return timedelta(seconds=_SHORTEST_WAIT)
    return timedelta(seconds=max(seconds - passed, 0) + _RESOLUTION)


def workers(turns: TurnWorker) -> Sequence[Worker]:
    """Return the worker."""
    return (Worker(TURN_WORKER, turns.run, interval=INTERVAL),)
