"""The connection to Redis: concurrent commands travel together, and a Redis that is away is not waited for.

Commands that are sent while others are on their way form the next batch: one write and one read for all of them, on
one connection, which costs a third of a connection a command, and more the busier the gateway is. No command is
repeated: one whose answer is missing may or may not have been executed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from galaxy_chassis.clock import Clock
from galaxy_chassis.logs import get_logger
from galaxy_gateway.store.errors import StoreUnavailableError

TIMEOUT = 0.5
"""Seconds for a batch, connecting included."""
PAUSE = 0.25
"""Seconds after a failure in which Redis is not tried: then one command tries, and the others go on failing at once."""
_LARGEST = 64
"""Commands of a batch: its answers are read in one piece, before any other request has its turn."""

_log = get_logger("galaxy_gateway.store", plugin="gateway")


@dataclass(frozen=True, slots=True)
class _Waiting:
    command: tuple[Any, ...]
    reply: asyncio.Future[Any]


class Pipeline:
    """Sends commands in batches, and fails at once while Redis is away."""

    def __init__(self, client: Redis, clock: Clock, timeout: float = TIMEOUT) -> None:
        self._client, self._clock, self._timeout = client, clock, timeout
        self._waiting: deque[_Waiting] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._retry_at: float | None = None
        """When Redis may be tried again; None while it answers."""
        self._closed = False

    @property
    def away(self) -> bool:
        """Whether the last batch had no answer."""
        return self._retry_at is not None

    async def send(self, *command: Any) -> Any:
        """Return the reply, an exception where Redis refuses the command. Raise StoreUnavailableError without one."""
        self._check()
        waiting = _Waiting(command, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        return await waiting.reply

    async def aclose(self) -> None:
        """Close the connection; commands without an answer fail."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])
        self._fail([], _closed())  # a task that is cancelled before its first step fails nothing itself
        await self._client.aclose()

    def _check(self) -> None:
        if self._closed:
            raise _closed()
        if self._retry_at is not None and (self._sending is not None or self._clock.monotonic() < self._retry_at):
            raise StoreUnavailableError("Redis is away")

    async def _send_all(self) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := self._next_batch():
                await self._send_batch(batch)
        finally:  # cancelled by aclose
            self._sending = None
            self._fail(batch, _closed())

    def _next_batch(self) -> list[_Waiting]:
        """Return what waits, without what nobody waits for any more."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < _LARGEST:
            waiting = self._waiting.popleft()
            if not waiting.reply.done():
                batch.append(waiting)
        return batch

    async def _send_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                replies = await self._exchange([each.command for each in batch])
        except Exception as error:  # whatever it is, nobody may wait for ever
            await self._lose(batch, error)
            return
        self._restored()
        for each, reply in zip(batch, replies, strict=True):
            if not each.reply.done():
                each.reply.set_result(reply)

    async def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))

    async def _lose(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Fail all that waits, and drop the connection: an answer that comes late must not meet another command."""
        reason = str(error) or f"no answer within {self._timeout:g} s"
        if self._retry_at is None:
            _log.warning("store_lost", detail=reason)
        self._retry_at = self._clock.monotonic() + PAUSE
        with suppress(Exception):  # closing a broken connection may fail, and is bounded by the client's own limit
            await self._client.connection_pool.disconnect()
        self._fail(batch, StoreUnavailableError(f"Redis is away: {reason}"))

    def _restored(self) -> None:
        if self._retry_at is not None:
            self._retry_at = None
            _log.info("store_restored")

    def _fail(self, batch: Sequence[_Waiting], error: StoreUnavailableError) -> None:
        for each in (*batch, *self._waiting):
            if not each.reply.done():
                each.reply.set_exception(error)
        self._waiting.clear()


def _closed() -> StoreUnavailableError:
    return StoreUnavailableError("the store is closed")
