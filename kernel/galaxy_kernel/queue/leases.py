"""Keeps leases renewed while their work runs, for work that may take longer than any lease: an image pull, for example.

All leases of a process are renewed by one statement. Work whose lease is lost is cancelled: by now another process may
be doing it. What it wrote is fenced as ever, by the lease's number in the statement that records the result.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, TypeVar

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.clock import wait_for_event
from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.logs import get_logger

K = TypeVar("K", bound=Hashable)

_RENEWALS = 3
"""Attempts to renew within one lease: two may fail before it ends."""
_MOST_RENEWALS = 60
"""The same, when leases are about to end: so many more attempts are made, and no more."""

_log = get_logger("galaxy_kernel.queue.leases", plugin="kernel")


class LeaseLostError(GalaxyError):
    """A lease ended while its work was running, and the work was cancelled."""


class LeaseKeeper(Generic[K]):
    """Renews the leases of one process on one kind of row, as long as their work runs."""

    def __init__(self, renew: Callable[[Sequence[K]], Awaitable[Collection[K]]], *, lease: timedelta) -> None:
        """Do nothing yet.

        `renew` extends leases by `lease` from now, in a transaction of its own, and returns the keys of those that are
        still held. A key names the row and its fencing number, such as `Claim.key` or `(game_id, turn_lease)`.
        """
        self._renew, self._lease = renew, lease.total_seconds()
        self._held: dict[asyncio.Timeout, K] = {}
        self._task: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        """Set for a lease that would end before the next regular renewal, or soon after."""

    @asynccontextmanager
    async def keep(self, key: K, left: float | None = None) -> AsyncIterator[None]:
        """Keep a lease renewed during the block, which is cancelled when the lease is lost.

        `left`: seconds until the lease ends as it stands, by default the whole of it. Raise LeaseLostError when it was
        found to be another's, or could not be renewed before it ended.
        """
        loop = asyncio.get_running_loop()
        timeout = asyncio.timeout_at(loop.time() + (self._lease if left is None else left))
        try:
            async with timeout:
                self._held[timeout] = key
                if left is not None and left < 2 * self._lease / _RENEWALS:
                    self._due.set()
                self._start()
                try:
                    yield
                finally:
                    del self._held[timeout]
                    self._stop()
        except TimeoutError:
            if timeout.expired():
                _log.warning("lease_lost", key=str(key))
                raise LeaseLostError(f"the lease {key} was lost while its work was running") from None
            raise

    def _start(self) -> None:
        if self._task is None or self._task.done():
            # in a context of its own: the statements belong to no request
            self._task = asyncio.create_task(self._renew_all(), name="lease renewal", context=contextvars.Context())

    def _stop(self) -> None:
        if not self._held and self._task is not None:
            self._task.cancel()
            self._task = None

    def _pause(self) -> float:
        """Return the seconds until the next attempt, by the lease that ends first."""
        now = asyncio.get_running_loop().time()
        left = min((timeout.when() or now for timeout in self._held), default=now) - now
        return min(self._lease / _RENEWALS, max(left / _RENEWALS, self._lease / _MOST_RENEWALS))

    async def _renew_all(self) -> None:
        while True:
            await wait_for_event(self._due, self._pause())
            self._due.clear()
            held, begun = dict(self._held), asyncio.get_running_loop().time()
            try:
                with own_cancellation_only():
                    kept = set(await self._renew(list(held.values())))
            except Exception as error:  # tried again; whose lease ends meanwhile has lost it
                _log.warning("lease_renewal_failed", leases=len(held), error=type(error).__name__)
                continue
            for timeout, key in held.items():
                if timeout in self._held and not timeout.expired():
                    timeout.reschedule(begun + self._lease if key in kept else begun)
