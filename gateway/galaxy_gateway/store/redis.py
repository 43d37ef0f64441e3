"""The store in Redis, which all gateways of a deployment share.

What a crash leaves: a gateway that dies between two operations leaves a claim, which expires with its lease; what was
spent stays spent. A Redis that restarts empty forgets both: limits start full, and a call that ran before may run
again. Redis Cluster is not supported, since one operation uses several keys. Redis should run with `maxmemory-policy
volatile-ttl` or `noeviction`: another policy may forget a claim in favour of an answer.
"""

import math
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from galaxy_chassis.clock import Clock
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.pipeline import TIMEOUT, Pipeline
from galaxy_gateway.store.scripts import ABANDON, CLAIM, FINISH, SPEND, Script
from galaxy_gateway.store.store import Claim, Demand, Spending

_PING = Demand("galaxy:ping", interval=1, capacity=1_000_000)


class RedisStore:
    """One script an operation, by its digest; with its text where Redis does not know it, as after a restart."""

    def __init__(self, url: str, clock: Clock, timeout: float = TIMEOUT) -> None:
        """Connect at the first operation. The pipeline has one time limit for a batch."""
        client = Redis.from_url(
            url,
            protocol=2,  # without push messages, which a batch of replies has no use for
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=timeout,  # closing is bounded by it too
        )
        self._pipeline = Pipeline(client, clock, timeout)

    async def spend(self, demands: Sequence[Demand]) -> Spending:
        """See Store."""
        arguments = [number for demand in demands for number in (demand.interval, demand.capacity)]
        allowed, *debts = await self._run(SPEND, [demand.key for demand in demands], *arguments)
        return Spending(bool(allowed), tuple(debts))

    async def claim(self, key: str, owner: bytes, fingerprint: bytes, lease: float) -> Claim:
        """See Store."""
        found = await self._run(CLAIM, [key], owner, fingerprint, _milliseconds(lease))
        return Claim(False, *found) if found else Claim(True)

    async def finish(self, key: str, owner: bytes, fingerprint: bytes, answer: bytes, keep: float) -> bool:
        """See Store."""
        return bool(await self._run(FINISH, [key], owner, fingerprint, answer, _milliseconds(keep)))

    async def abandon(self, key: str, owner: bytes) -> bool:
        """See Store."""
        return bool(await self._run(ABANDON, [key], owner))

    async def ping(self) -> None:
        """See Store. It writes, so that a Redis that refuses to write counts as away."""
        await self.spend([_PING])

    async def aclose(self) -> None:
        """See Store."""
        await self._pipeline.aclose()

    async def _run(self, script: Script, keys: Sequence[str], *arguments: bytes | int) -> Any:
        reply = await self._pipeline.send("EVALSHA", script.digest, len(keys), *keys, *arguments)
        if isinstance(reply, NoScriptError):  # it was not executed, so that nothing is done twice
            reply = await self._pipeline.send("EVAL", script.text, len(keys), *keys, *arguments)
        if isinstance(reply, Exception):
            raise StoreUnavailableError(f"Redis refuses: {reply}")
        return reply


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
