"""Processes a leased queue whose rows are sent to a slow external system, one by one: a mail relay, for example.

One pass claims, sends and records at the same time: the next batches are claimed while this one is sent, and while
statements record results the next results gather, for a moment at most. So the batches follow the load, and a process
killed at any moment leaves only rows sent in about the last tenth of a second as sent but not recorded.

Work that happens inside the database needs no pump: claim in one transaction, and do the work together with
`LeasedQueue.complete` in another.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from sqlalchemy import Column

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.clock import wait_for_event
from galaxy_chassis.errors import GalaxyError
from galaxy_kernel.database import Database, is_retryable, is_unavailable
from galaxy_kernel.queue.leases import LeaseKeeper, LeaseLostError
from galaxy_kernel.queue.queue import Claim, LeasedQueue, LeaseKey, Outcome, Result

_CLAIMERS = _RECORDINGS = 2
"""Concurrent claims, and concurrent recordings, under load: a third made nothing faster on two cores."""
_GROWTH = 8
"""The factor by which the next claim may grow: the rate of a few rows is not reliable."""
_GATHERING, _MANY = 0.05, 100
"""Seconds in which results gather between two recordings, and the number that is recorded at once."""
_RECORDING_RETRY = 0.2
"""Seconds between attempts to record while the database is down."""
_SALVAGE = 5.0
"""Seconds for recording known results when a pass is cancelled."""

Send = Callable[[Claim], Awaitable[Result]]


class Halt(GalaxyError):  # noqa: N818 - a signal to stop, as StopIteration is
    """Raised by a sender: nothing can be sent just now. Its claim and those not begun are released untried."""


class Pump:
    """Sends a queue's rows with a number of senders at once."""

    def __init__(
        self,
        queue: LeasedQueue,
        database: Database,
        send: Send,
        *,
        columns: Sequence[Column[Any]],
        senders: int,
        reserve: timedelta,
        batch: int = 500,
        pass_duration: timedelta = timedelta(seconds=3),
        renew: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Configure the work.

        `send` is called with claims with `columns` and never takes longer than `reserve`: none is begun with less than
        that left of its lease. A pass claims for one `pass_duration`, each time as many as are sent in a quarter of it,
        but no fewer than there are senders and no more than `batch`, which is also how many one statement records.
        With `renew` a send may take longer than `reserve`, and than the lease: its lease is renewed while it runs, and
        it is cancelled should the lease be lost.
        """
        self.queue, self.database, self.send, self.monotonic = queue, database, send, monotonic
        self.columns, self.senders, self.batch = tuple(columns), senders, batch
        self.reserve, self.pass_duration = reserve.total_seconds(), pass_duration.total_seconds()
        self.leases: LeaseKeeper[LeaseKey] | None = queue.keeper(database) if renew else None
        self.limit = senders
        """Rows to claim next."""

    async def run(self) -> bool:
        """Make one pass and return whether there may be more to do. Raise Halt when a sender did."""
        return await _Pass(self).run()

    def adapt(self, tried: int, took: float) -> None:
        """Adjust the next claim to the recent rate: so many attempts, whatever their outcome, in so many seconds."""
        if tried:
            fits = int(tried * self.pass_duration / 4 / max(took, 1e-6))
            self.limit = max(self.senders, min(self.batch, self.limit * _GROWTH, fits))


class _Pass:
    """The claims and results of one pass."""

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.until = pump.monotonic() + pump.pass_duration
        self.claims: deque[Claim] = deque()
        """The claims from which the senders take the next."""
        self.next: deque[list[Claim]] = deque()
        """Claims that wait until the senders have taken the batch before."""
        self.begun = 0.0
        """When the batch that is being sent was passed to the senders."""
        self.tried = 0
        """The number of attempts since then."""
        self.results: list[Result] = []
        self.recording: list[list[Result]] = []
        """Results that are being recorded; emptied once they are."""
        self.more = True
        self.all_claimed = self.all_sent = False
        self.error: Exception | None = None
        """Why nothing more is claimed: a Halt, or the claim's own failure."""
        self.claims_ready, self.batch_taken = asyncio.Event(), asyncio.Event()
        self.recordable, self.set_full, self.may_send = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.batch_taken.set()
        self.may_send.set()

    async def run(self) -> bool:
        try:
            async with asyncio.TaskGroup() as recording:
                recording.create_task(self._record_all())
                async with asyncio.TaskGroup() as sending:
                    sending.create_task(self._claim_all())
                    for _ in range(self.pump.senders):
                        sending.create_task(self._send_all())
                self.all_sent = True
                self.recordable.set()
                self.set_full.set()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            await self._salvage()
        if self.error is not None:
            self.pump.limit = self.pump.senders
            raise self.error
        return self.more

    async def _claim_all(self) -> None:
        """Claim once, which is mostly enough; then several at a time, so that none waits for another's COMMIT."""
        await self._claim_on(once=True)
        await asyncio.gather(*(self._claim_on() for _ in range(_CLAIMERS)))
        self.all_claimed = True
        self.claims_ready.set()

    async def _claim_on(self, *, once: bool = False) -> None:
        """Claim until nothing is due or the pass is over. After a failure the senders finish what they have."""
        try:
            while self.more and self.error is None and self.pump.monotonic() < self.until:
                limit = self.pump.limit
                claims = await self._claim(limit)
                if len(claims) < limit:
                    self.more = False
                if claims:
                    self.next.append(claims)
                    while not self.batch_taken.is_set():
                        await self.batch_taken.wait()
                    self._hand_over()
                if once:
                    return
        except Exception as error:
            self.error = error

    async def _claim(self, limit: int) -> list[Claim]:
        """Claim and commit. Claims whose commit failed are void: another worker may hold the same leases."""
        async with self.pump.database.transaction() as connection:
            return await self.pump.queue.claim(connection, limit, *self.pump.columns)

    def _hand_over(self) -> None:
        now = self.pump.monotonic()
        self.pump.adapt(self.tried, now - self.begun)
        self.begun, self.tried = now, 0
        self.batch_taken.clear()
        self.claims.extend(self.next.popleft())
        self.claims_ready.set()

    async def _send_all(self) -> None:
        """Send claims one by one as long as there are any: an asyncio queue would cost more than most of the rest."""
        while self.claims or not self.all_claimed:
            if not self.claims:
                self.claims_ready.clear()
                await self.claims_ready.wait()
                continue
            claim = self.claims.popleft()
            if not self.claims:
                self.batch_taken.set()
            if not self.may_send.is_set():
                await self.may_send.wait()
            result = await self._send(claim)
            if result is None:
                continue
            self.results.append(result)  # not in one line: the list may be replaced during the await
            self.recordable.set()
            if len(self.results) >= _MANY:
                self.set_full.set()

    async def _send(self, claim: Claim) -> Result | None:
        """Send one claim and return its result; None when its lease was lost, and there is nothing to record."""
        pump = self.pump
        started = pump.monotonic()
        if self.error is not None or started + pump.reserve > claim.deadline or started >= claim.expires:
            return Result(claim, Outcome.RELEASED)
        try:
            if pump.leases is None:
                with own_cancellation_only():
                    result = await pump.send(claim)
            else:
                async with pump.leases.keep(claim.key, claim.deadline - started):
                    with own_cancellation_only():
                        result = await pump.send(claim)
        except LeaseLostError:
            return None
        except Halt as halt:
            self.error = halt
            return Result(claim, Outcome.RELEASED, str(halt))
        self.tried += 1
        result.started, result.finished = started, pump.monotonic()
        return result

    async def _record_all(self) -> None:
        """Record gathered results, several sets at a time, so that none waits for another's COMMIT."""
        free = asyncio.Semaphore(_RECORDINGS)
        async with asyncio.TaskGroup() as recordings:
            while self.results or not self.all_sent:
                await self.recordable.wait()
                await free.acquire()
                results, self.results = self.results[: self.pump.batch], self.results[self.pump.batch :]
                self.recording.append(results)
                recordings.create_task(self._record(results)).add_done_callback(lambda _: free.release())
                if self.all_sent or self.results:
                    continue
                self.recordable.clear()
                self.set_full.clear()
                await wait_for_event(self.set_full, _GATHERING)

    async def _record(self, results: list[Result]) -> None:
        """Record for as long as the leases last; nothing more is sent while the database is down."""
        patience = self.pump.monotonic() + self.pump.queue.lease
        while results:
            try:
                await self._complete(results)
            except Exception as error:
                if not (is_unavailable(error) or is_retryable(error)) or self.pump.monotonic() > patience:
                    raise
                self.may_send.clear()
                await asyncio.sleep(_RECORDING_RETRY)
            else:
                results.clear()
        self.may_send.set()

    async def _complete(self, results: list[Result]) -> None:
        async with self.pump.database.transaction() as connection:
            await self.pump.queue.complete(connection, results)

    async def _salvage(self) -> None:
        """After an interruption: record known results and release claims that were not begun.

        The rest keeps its lease.

        Set by set, for one of them may be the cause of the interruption.
        """
        untried = [Result(claim, Outcome.RELEASED) for claim in chain(self.claims, *self.next)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SALVAGE):
                for results in filter(None, (*self.recording, self.results, untried)):
                    with contextlib.suppress(Exception):
                        await self._complete(results)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the failure that ended the pass: the supervisor and its classification know plain exceptions."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
