"""Bounds of the store in memory."""

from datetime import timedelta

from galaxy_chassis.clock import ManualClock
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.store import Demand

SECOND = 1_000_000


def demand(key: str) -> Demand:
    """Return a demand of two units that refill one a second."""
    return Demand(key, SECOND, 2 * SECOND)


async def test_full_allowances_are_forgotten() -> None:
    """Clients that come once leave nothing behind but the last few seconds of them."""
    clock = ManualClock()
    store = MemoryStore(clock)
    for number in range(1000):
        await store.spend([demand(f"{number}")])
        clock.advance(timedelta(seconds=0.1))
    assert len(store) <= 11


async def test_too_many_allowances_forget_the_one_least_recently_spent() -> None:
    """Past the cap the oldest counts as full; one that is spent of again is not the oldest."""
    store = MemoryStore(ManualClock(), most_allowances=10)
    busy, idle = demand("busy"), demand("idle")
    await store.spend([busy])
    await store.spend([idle])
    await store.spend([idle])
    for number in range(8):
        await store.spend([demand(f"{number}")])
    await store.spend([busy])
    assert [(await store.spend([each])).allowed for each in (busy, idle)] == [False, False]
    await store.spend([demand("one more")])
    assert len(store) == 10
    assert not (await store.spend([busy])).allowed
    assert (await store.spend([idle])).allowed


async def test_expired_claims_are_forgotten() -> None:
    """Gateways that lose track of calls do not fill the memory."""
    clock = ManualClock()
    store = MemoryStore(clock)
    for number in range(1000):
        await store.claim(f"{number}", b"me", b"", 60)
        clock.advance(timedelta(seconds=10))
    assert len(store) <= 7


async def test_too_many_answers_forget_the_oldest() -> None:
    """Past the number of answers the oldest goes, and its key can be claimed again. Claims stay."""
    store = MemoryStore(ManualClock(), most_answers=3)
    await store.claim("running", b"me", b"", 60)
    for number in range(5):
        await store.finish(f"{number}", b"me", b"", b"answer", 86400)
    assert len(store) == 4
    assert (await store.claim("1", b"me", b"", 60)).granted
    assert (await store.claim("2", b"me", b"", 60)).answer == b"answer"
    assert not (await store.claim("running", b"you", b"", 60)).granted


async def test_answers_are_bounded_in_octets() -> None:
    """A few large answers do not take more memory than many small ones; what is forgotten is not counted."""
    store = MemoryStore(ManualClock(), most_octets=100)
    for number in range(50):
        assert await store.finish(f"{number}", b"me", b"", b"x" * 40, 86400)
        assert len(store) == min(number + 1, 2)
    assert not await store.finish("too large", b"me", b"", b"x" * 101, 86400)
    assert len(store) == 0
    assert await store.finish("again", b"me", b"", b"x" * 100, 86400)


async def test_expired_answers_are_forgotten() -> None:
    """An answer goes when its time is over, as others come."""
    clock = ManualClock()
    store = MemoryStore(clock)
    for number in range(100):
        await store.finish(f"{number}", b"me", b"", b"x", 60)
        clock.advance(timedelta(seconds=10))
    assert len(store) <= 7
