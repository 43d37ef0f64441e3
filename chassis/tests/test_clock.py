"""Time, the machine's and the test's."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from galaxy_chassis.clock import ManualClock, SystemClock, wait_for_event


def test_a_manual_clock_moves_only_when_told() -> None:
    """Both hands stand still, and move together."""
    start = datetime(2031, 2, 3, tzinfo=UTC)
    clock = ManualClock(start)
    assert (clock.now(), clock.now(), clock.monotonic()) == (start, start, 0.0)
    clock.advance(timedelta(hours=1, milliseconds=500))
    assert clock.now() == start + timedelta(hours=1, milliseconds=500)
    assert clock.monotonic() == 3600.5


def test_the_machines_clock_is_in_utc_and_never_steps_back() -> None:
    """Its times are aware, so that they can be stored and compared."""
    clock = SystemClock()
    before, begun = datetime.now(UTC), clock.monotonic()
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() >= begun


@pytest.mark.parametrize("timeout", [0.0, 0.01])
async def test_an_event_that_does_not_come_is_not_waited_for(timeout: float) -> None:
    """After the time-out the answer is no."""
    assert await wait_for_event(asyncio.Event(), timeout) is False


@pytest.mark.parametrize("timeout", [0.0, 60.0])
async def test_an_event_that_is_set_is_waited_for_no_longer(timeout: float) -> None:
    """The answer is yes at once, whatever time there was."""
    event = asyncio.Event()
    event.set()
    async with asyncio.timeout(5):
        assert await wait_for_event(event, timeout) is True


async def test_an_event_set_meanwhile_ends_the_wait() -> None:
    """Whoever waits is woken by it."""
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_for_event(event, 60.0))
    await asyncio.sleep(0)
    event.set()
    async with asyncio.timeout(5):
        assert await waiting is True


async def test_a_cancelled_wait_is_cancelled() -> None:
    """It is not taken for a time-out."""
    waiting = asyncio.create_task(wait_for_event(asyncio.Event(), 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
