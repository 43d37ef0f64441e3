"""Locks inside the process, one for each key."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class KeyedLocks:
    """Lets one task at a time work on a key, in the order in which they come; tasks of different keys do not meet.

    A key is remembered only while somebody holds it or waits for it. For what other replicas may work on too, use a
    lock in the database.
    """

    def __init__(self) -> None:
        self._locks: dict[Hashable, _Lock] = {}

    def __len__(self) -> int:
        """Return how many keys are held or waited for."""
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncIterator[None]:
        """Hold a key during the block. The task that holds it must not ask for it again: it would wait for itself."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = _Lock()
        lock.users += 1
        try:
            async with lock:
                yield
        finally:
            lock.users -= 1
            if not lock.users:
                del self._locks[key]


class _Lock(asyncio.Lock):
    """A lock that is counted by those who hold it or wait for it."""

    users = 0
