"""Processes a leased queue whose work is inside the database, in sets: a notification's routes, for example.

The counterpart of `pump`. A pass is two transactions: one claims, and one does the work *and* records it. So the
effects of a row and its completion are one commit:

- Killed between the two, or in the second: nothing was done; the rows come due again when their leases end.
- The outcome of the second COMMIT is unknown: both are there or neither. If they are, the rows have ended.
- A worker that was paused beyond its lease finds, as it records, that a row is no longer its own: everything is rolled
  back and done again without that row.

A set that fails is halved until the row at fault is isolated: that one is recorded as failed, the others are done.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.logs import get_logger
from galaxy_kernel.database import Connection, Database, is_retryable, is_unavailable
from galaxy_kernel.queue.queue import Claim, LeasedQueue, Outcome, Result

_AGAIN = 0.2
"""Seconds between attempts while the database is down, or after a deadlock."""

Work = Callable[[Connection, Sequence[Claim]], Awaitable[Sequence[Result]]]
"""Processes claims on the connection of the transaction that records its results, one for each claim."""

_log = get_logger("galaxy_kernel.queue.batches", plugin="kernel")


class _NotHeldError(Exception):
    """Some claims of a set are no longer ours."""

    def __init__(self, held: Collection[UUID]) -> None:
        super().__init__("claims were lost")
        self.held = held


class Batches:
    """Processes a queue, one set after the other."""

    def __init__(
        self,
        queue: LeasedQueue,
        database: Database,
        work: Work,
        *,
        columns: Sequence[Column[Any]],
        recorded: Callable[[Sequence[Result]], None],
        batch: int = 500,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Configure the work: `work` is called with claims with `columns`, `recorded` with results once committed."""
        self.queue, self.database, self.work, self.recorded = queue, database, work, recorded
        self.columns, self.batch, self.monotonic = tuple(columns), batch, monotonic

    async def run(self) -> bool:
        """Claim a set and do it; return whether there may be more to do."""
        async with self.database.transaction() as connection:
            claims = await self.queue.claim(connection, self.batch, *self.columns)
        await self._settle(claims)
        return bool(claims)

    async def _settle(self, claims: Sequence[Claim]) -> None:
        """Process a set; while the database is down, wait for as long as the leases last."""
        while claims:
            try:
                results = await self._do(claims)
            except _NotHeldError as lost:
                claims = [claim for claim in claims if claim.id in lost.held]
            except Exception as error:
                if is_unavailable(error) or is_retryable(error):
                    if self.monotonic() > claims[0].deadline:
                        raise
                    await asyncio.sleep(_AGAIN)
                elif len(claims) > 1:
                    middle = len(claims) // 2
                    await self._settle(claims[:middle])
                    claims = claims[middle:]
                else:
                    await self._fail(claims[0], error)
                    return
            else:
                self.recorded(results)
                return

    async def _do(self, claims: Sequence[Claim]) -> Sequence[Result]:
        async with self.database.transaction() as connection:
            with own_cancellation_only():
                results = await self.work(connection, claims)
            held = await self.queue.complete(connection, results)
            if len(held) < len(claims):
                raise _NotHeldError(held)
        return results

    async def _fail(self, claim: Claim, error: Exception) -> None:
        """Record that a row failed by itself. Its effects are rolled back."""
        _log.error("queued_work_failed", table=self.queue.table.name, id=str(claim.id), exc_info=error)
        result = Result(claim, Outcome.RETRYING, f"internal error: {type(error).__name__}")
        async with self.database.transaction() as connection:
            held = await self.queue.complete(connection, [result])
        if held:
            self.recorded([result])
