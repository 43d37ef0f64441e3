"""The pool of connections, which knows how many tasks wait for one."""

import logging
from typing import Any

from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util.queue import AsyncAdaptedQueue

# SQLAlchemy logs what a pool does under the module of its class: this one is to be as quiet as its own.
logging.getLogger(__name__).setLevel(logging.WARNING)


class WaitingQueue(AsyncAdaptedQueue[Any]):
    """The idle connections of a pool."""

    waiting = 0
    """Tasks that wait for one to be returned."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not block:
            return super().get(block, timeout)
        self.waiting += 1
        try:
            return super().get(block, timeout)
        finally:
            self.waiting -= 1


class WaitingPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool for asyncio, counting who waits."""

    _queue_class = WaitingQueue

    @property
    def waiting(self) -> int:
        """How many tasks wait for a connection, since all are in use."""
        queue = self._pool
        return queue.waiting if isinstance(queue, WaitingQueue) else 0
