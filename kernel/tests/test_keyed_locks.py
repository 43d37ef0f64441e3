"""Locks inside the process, one for each key."""

import asyncio
from collections import Counter

import pytest

from galaxy_kernel.keyed_locks import KeyedLocks


async def test_one_at_a_time_works_on_a_key() -> None:
    """Tasks of one key never overlap and come in order; those of different keys do overlap."""
    locks, inside, order = KeyedLocks(), Counter[str](), list[tuple[str, int]]()
    most = 0

    async def work(key: str, number: int) -> None:
        nonlocal most
        async with locks.hold(key):
            inside[key] += 1
            assert inside[key] == 1
            most = max(most, inside.total())
            for _ in range(3):
                await asyncio.sleep(0)
            inside[key] -= 1
            order.append((key, number))

    await asyncio.gather(*(work(key, number) for number in range(10) for key in "abc"))
    assert most == 3
    assert all([number for at, number in order if at == key] == list(range(10)) for key in "abc")
    assert len(locks) == 0


async def test_a_failure_gives_the_key_back() -> None:
    """A block that raises leaves the key free, and nothing behind."""
    locks = KeyedLocks()
    with pytest.raises(ZeroDivisionError):
        async with locks.hold("a"):
            raise ZeroDivisionError
    assert len(locks) == 0


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    """A waiter that is cancelled takes nobody's turn; the key is forgotten with its last user."""
    locks, go_on = KeyedLocks(), asyncio.Event()

    async def work() -> None:
        async with locks.hold("a"):
            await go_on.wait()

    first, second, third = (asyncio.create_task(work()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert second.cancelled()
    assert len(locks) == 1
    go_on.set()
    await asyncio.gather(first, third)
    assert len(locks) == 0
