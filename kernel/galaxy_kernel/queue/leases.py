"""Keeps leases renewed while their work runs, for work that may take longer than any lease: an image pull, for example.

All leases of a process are renewed by one statement. Work whose lease is lost is cancelled: by now another process may
be doing it. What it wrote is fenced as ever, by the lease's number in the statement that records the result.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from datetime import timedelta
from types import TracebackType
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

    def keep(self, key: K, left: float | None = None) -> "_Kept[K]":
        """Keep a lease renewed during the block, which is cancelled when the lease is lost.

        `left`: seconds until the lease ends as it stands, by default the whole of it. Raise LeaseLostError when it was
        found to be another's, or could not be renewed before it ended.
        """
        return _Kept(self, key, self._lease if left is None else left)

    def _start(self, timeout: asyncio.Timeout, key: K, left: float) -> None:
        self._held[timeout] = key
        if left < 2 * self._lease / _RENEWALS:
            self._due.set()
        if self._task is None or self._task.done():
            # in a context of its own: the statements belong to no request
            self._task = asyncio.create_task(self._renew_all(), name="lease renewal", context=contextvars.Context())

    def _stop(self, timeout: asyncio.Timeout) -> None:
        del self._held[timeout]
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


class _Kept(Generic[K]):
    """The block of `keep`: a generator's context manager costs several times as much, a turn for one."""

    __slots__ = ("_keeper", "_key", "_left", "_timeout")

    def __init__(self, keeper: LeaseKeeper[K], key: K, left: float) -> None:
        self._keeper, self._key, self._left = keeper, key, left

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout_at(asyncio.get_running_loop().time() + self._left)
        await self._timeout.__aenter__()
        self._keeper._start(self._timeout, self._key, self._left)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper._stop(self._timeout)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            error = TimeoutError()
        if isinstance(error, TimeoutError) and self._timeout.expired():
            _log.warning("lease_lost", key=str(self._key))
            raise LeaseLostError(f"the lease {self._key} was lost while its work was running") from None
