"""Leases renewed while their work runs: one statement for all, and work that has lost its lease is cancelled."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from galaxy_chassis.request_context import current_request, request_context
from galaxy_kernel.queue.leases import LeaseKeeper, LeaseLostError

LEASE = timedelta(milliseconds=60)
FOREVER = timedelta(hours=1)


class Rows:
    """Leases somewhere, and the renewals of them."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.lost: set[str] = set()
        self.error: Exception | None = None
        self.requests: list[object] = []

    async def renew(self, keys: Sequence[str]) -> Collection[str]:
        self.calls.append(sorted(keys))
        self.requests.append(current_request.get())
        if self.error is not None:
            raise self.error
        return set(keys) - self.lost

    async def renewed(self, times: int) -> None:
        """Wait for so many more renewals."""
        wanted = len(self.calls) + times
        async with asyncio.timeout(20):
            while len(self.calls) < wanted:
                await asyncio.sleep(0.001)


def renewals() -> list[str]:
    """Return the tasks that renew."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "lease renewal"]


async def test_work_may_take_many_leases() -> None:
    """All leases of a process are renewed together, until their work ends; then nothing runs any more."""
    rows = Rows()
    keeper = LeaseKeeper(rows.renew, lease=timedelta(seconds=0.3))
    with request_context("test"):
        async with keeper.keep("a"):
            async with keeper.keep("b"), keeper.keep("c"):
                await rows.renewed(4)
                assert rows.calls[-1] == ["a", "b", "c"]
                assert len(renewals()) == 1
            await rows.renewed(2)
            assert rows.calls[-1] == ["a"]
    await asyncio.sleep(0)
    assert renewals() == []
    assert set(rows.requests) == {None}  # the first work's request is not that of all the others


async def test_only_work_that_has_lost_its_lease_is_cancelled() -> None:
    """A lease that is another's ends its work with an error; the rest goes on."""
    rows = Rows()
    keeper = LeaseKeeper(rows.renew, lease=timedelta(seconds=0.3))
    ended: list[str] = []

    async def work(key: str) -> None:
        try:
            async with keeper.keep(key):
                await asyncio.sleep(3600)
        finally:
            ended.append(key)

    with capture_logs() as lines:
        async with keeper.keep("a"):
            losing = asyncio.create_task(work("b"))
            await rows.renewed(1)
            rows.lost.add("b")
            with pytest.raises(LeaseLostError, match="the lease b was lost"):
                await losing
            await rows.renewed(2)
        assert ended == ["b"]
    assert [(line["event"], line["key"]) for line in lines] == [("lease_lost", "b")]


async def test_work_that_is_slow_to_stop_costs_no_other_its_lease() -> None:
    """While work whose lease was lost cleans up, the leases of the rest are renewed as ever."""
    rows = Rows()
    keeper = LeaseKeeper(rows.renew, lease=timedelta(seconds=0.6))
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with keeper.keep("b"):
            try:
                await asyncio.sleep(3600)
            finally:
                cleaning.set()
                await cleaned.wait()

    async with asyncio.timeout(20), keeper.keep("a"):
        losing = asyncio.create_task(work())
        rows.lost.add("b")
        await cleaning.wait()
        await rows.renewed(2)
        cleaned.set()
        with pytest.raises(LeaseLostError):
            await losing


async def test_a_lease_that_cannot_be_renewed_ends_in_time() -> None:
    """While renewals fail, work goes on until its lease ends, and not longer."""
    rows = Rows()
    rows.error = ConnectionError("the database is down")
    keeper = LeaseKeeper(rows.renew, lease=timedelta(seconds=0.3))
    with capture_logs() as lines, pytest.raises(LeaseLostError):
        async with asyncio.timeout(20), keeper.keep("a"):
            await asyncio.sleep(3600)
    events = [line["event"] for line in lines]
    assert events == ["lease_renewal_failed"] * (len(events) - 1) + ["lease_lost"]
    assert len(events) >= 2


async def test_a_renewal_that_hangs_ends_no_later() -> None:
    """Work is cancelled at the end of its lease also while the renewal is still waiting for the database."""

    async def renew(keys: Sequence[str]) -> Collection[str]:
        await asyncio.sleep(3600)
        return keys

    with pytest.raises(LeaseLostError):
        async with asyncio.timeout(20), LeaseKeeper(renew, lease=LEASE).keep("a"):
            await asyncio.sleep(3600)


async def test_a_failed_renewal_is_made_again() -> None:
    """One that failed costs nothing when a later one comes in time."""
    rows = Rows()
    keeper = LeaseKeeper(rows.renew, lease=timedelta(seconds=3))
    async with keeper.keep("a"):
        rows.error = ConnectionError("the database is down")
        await rows.renewed(1)
        rows.error = None
        await rows.renewed(2)


async def test_what_is_left_of_a_lease_counts() -> None:
    """Work that begins late in its lease is cancelled when that ends, however long a whole lease is."""
    rows = Rows()
    rows.error = ConnectionError("the database is down")
    with pytest.raises(LeaseLostError):
        async with asyncio.timeout(20), LeaseKeeper(rows.renew, lease=FOREVER).keep("a", 0.01):
            await asyncio.sleep(3600)


@pytest.mark.parametrize("left", [0.5, 1000, 2000])
async def test_a_lease_that_is_about_to_end_is_renewed_first(left: float) -> None:
    """Before the regular renewal of the others, which would be too late for it, or barely in time."""
    rows = Rows()
    keeper = LeaseKeeper(rows.renew, lease=FOREVER)
    async with keeper.keep("a"):
        await asyncio.sleep(0)  # the renewal of the first one waits its third of an hour
        async with keeper.keep("b", left):
            await rows.renewed(1)
            assert rows.calls == [["a", "b"]]


async def test_a_lease_with_time_left_causes_no_renewal() -> None:
    """The regular one is in time for it."""
    rows = Rows()
    async with LeaseKeeper(rows.renew, lease=FOREVER).keep("a", 3000):
        for _ in range(5):
            await asyncio.sleep(0)
    assert rows.calls == []


async def test_failed_renewals_of_a_short_lease_are_repeated_in_time() -> None:
    """It is tried again while there is time, not only after a third of a whole lease."""
    rows = Rows()
    rows.error = ConnectionError("the database is down")
    async with LeaseKeeper(rows.renew, lease=timedelta(seconds=30)).keep("a", 9):
        await rows.renewed(1)
        rows.error = None
        await rows.renewed(1)


async def test_the_works_own_errors_pass() -> None:
    """A time-out of the work itself is not taken for a lost lease, nor is a cancellation from outside."""
    keeper = LeaseKeeper(Rows().renew, lease=FOREVER)
    with pytest.raises(TimeoutError):
        async with keeper.keep("a"):
            raise TimeoutError

    async def work() -> None:
        async with keeper.keep("a"):
            await asyncio.sleep(3600)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await asyncio.sleep(0)
    assert renewals() == []
