"""The gateway's one subscription to the events of all accounts and sessions, at one backend after another.

It goes on after the last event that the hub has, so a backend that restarts is a pause: nothing is missed, and nothing
comes twice. Nothing is written here: a gateway that dies leaves nothing behind, and its clients resume at another one.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from random import Random
from typing import Any

import grpc
import grpc.aio

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.cancellation import StrayCancellationError, own_cancellation_only
from galaxy_chassis.health import Health
from galaxy_chassis.logs import get_logger
from galaxy_contracts.proto.push_pb2 import Frame, ReplayRequest, ReplayResponse
from galaxy_gateway.streams.backend import Backend, ProtocolError, connected, read_cursor, read_events
from galaxy_gateway.streams.hub import Hub
from galaxy_gateway.streams.metrics import Metrics

BACKOFF = Backoff(first=0.2, longest=5.0)
OPENING_WITHIN = 10.0
"""Seconds that a backend has for the first frame."""

_log = get_logger("galaxy_gateway.streams", plugin="gateway")


class LostError(Exception):
    """There is no subscription now."""


class Subscription:
    """Keeps a subscription open, and passes what it receives to the hub."""

    def __init__(
        self,
        hub: Hub,
        metrics: Metrics,
        random: Random,
        *,
        addresses: Sequence[str],
        token: str,
        gateway_id: str,
        credentials: grpc.ChannelCredentials | None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._hub, self._metrics, self._random, self._backoff = hub, metrics, random, backoff
        self._addresses, self._token, self._gateway_id = addresses, token, gateway_id
        self._credentials = credentials
        self._backend: Backend | None = None
        self._failures, self._attempts = 0, 0
        self._lost = "not subscribed yet"

    @property
    def open(self) -> bool:
        """Whether events come in."""
        return self._backend is not None

    def health(self) -> Health:
        """Return the state for `/readyz`."""
        if self._backend is not None:
            return Health()
        detail = f"no subscription to the backend's events: {self._lost}"
        return Health("failed" if self._hub.ring is None else "degraded", detail)

    async def run(self) -> None:
        """Subscribe, and subscribe again whenever the subscription ends."""
        while True:
            address = self._addresses[self._attempts % len(self._addresses)]
            self._attempts += 1
            try:
                with own_cancellation_only():
                    await self._subscribe(address)
            except (grpc.aio.AioRpcError, LostError, ProtocolError, StrayCancellationError, TimeoutError) as error:
                self._note(address, _reason(error))
            except Exception as error:
                _log.error("events_subscription_failed", address=address, exc_info=error)
                self._note(address, f"{type(error).__name__}: see the logs")
            self._failures += 1
            await asyncio.sleep(self._backoff.delay(self._failures, self._random))

    async def replay(self, request: ReplayRequest, timeout: float) -> ReplayResponse:
        """Return a page of older events. Raise LostError while there is no subscription, and grpc.aio.AioRpcError."""
        if self._backend is None:
            raise LostError
        self._metrics.replays += 1
        with own_cancellation_only():
            return await self._backend.replay(request, timeout)

    async def _subscribe(self, address: str) -> None:
        ring = self._hub.ring
        async with connected(address, self._token, self._gateway_id, self._credentials) as backend:
            call = backend.subscribe("" if ring is None else str(ring.head))
            try:
                async with aclosing(_frames(call)) as frames:
                    await self._listen(address, backend, frames)
            finally:
                self._backend = None
                call.cancel()

    async def _listen(self, address: str, backend: Backend, frames: AsyncIterator[Frame]) -> None:
        async with asyncio.timeout(OPENING_WITHIN):
            opening = (await anext(frames)).opening
        head = read_cursor(opening.cursor)
        _log.info("events_subscribed", address=address, cursor=opening.cursor, resync_required=opening.resync_required)
        self._hub.opened(head, resync=opening.resync_required)
        self._metrics.subscriptions += 1
        self._backend, self._failures = backend, 0
        async for frame in frames:
            self._hub.publish(read_events(frame.events))

    def _note(self, address: str, reason: str) -> None:
        lost = f"{address}: {reason}"
        if lost != self._lost or not self._failures:  # once, not at each attempt of a long outage
            _log.warning("events_subscription_lost", address=address, reason=reason)
        self._lost = lost


async def _frames(call: Any) -> AsyncGenerator[Frame, None]:
    """Yield the frames of a subscription. Raise LostError at its end, which has no status of its own."""
    async for frame in call:
        yield frame
    raise LostError


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    if isinstance(error, TimeoutError):
        return f"no answer within {OPENING_WITHIN:g} s"
    return str(error) or "the stream ended"
