"""A cancellation that nobody meant is an ordinary error."""

import asyncio

import pytest

from galaxy_chassis.cancellation import StrayCancellationError, being_cancelled, own_cancellation_only


async def test_a_cancellation_of_something_else_is_an_error() -> None:
    """Whoever awaits a cancelled task has failed; so has who calls sys.exit."""
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    with pytest.raises(StrayCancellationError, match="awaited"), own_cancellation_only():
        await other
    with pytest.raises(StrayCancellationError, match="exit"), own_cancellation_only():
        raise SystemExit(3)
    assert not being_cancelled()


async def test_ones_own_cancellation_passes() -> None:
    """A task that is cancelled, also by a time limit, ends as cancelled."""

    async def work() -> None:
        with own_cancellation_only():
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await work()
