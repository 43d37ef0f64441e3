"""Brings a client's stream up to date: from the ring where that reaches back, else from the backend.

Nothing is queued meanwhile. The ring has what arrives while pages are read, so the last step is always from the ring,
without an await before the stream is live: no event is missed between, and none comes twice.
"""

import asyncio
from collections.abc import Sequence
from random import Random

import grpc
import grpc.aio

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.cancellation import StrayCancellationError
from galaxy_contracts.proto.push_pb2 import ReplayRequest, ReplayResponse
from galaxy_gateway.streams import cursor as cursors
from galaxy_gateway.streams.backend import ProtocolError, read_events
from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.hub import Hub
from galaxy_gateway.streams.messages import Message
from galaxy_gateway.streams.metrics import Metrics
from galaxy_gateway.streams.ring import Ring
from galaxy_gateway.streams.stream import End, Stream
from galaxy_gateway.streams.subscription import LostError, Subscription

PAGE = 200
"""Events in a page that is read from the backend."""
TIMEOUT = 10.0
"""Seconds for a page."""
BACKOFF = Backoff(first=0.2, longest=5.0)
_HOPELESS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED})


class Resumer:
    """Resumes streams, a bounded number of them from the backend at a time."""

    def __init__(
        self,
        hub: Hub,
        subscription: Subscription,
        random: Random,
        metrics: Metrics,
        *,
        at_once: int,
        patience: float,
    ) -> None:
        """`patience`: seconds that a client may leave unread what it has missed."""
        self._hub, self._subscription, self._random, self._metrics = hub, subscription, random, metrics
        self._patience = patience
        self._places = asyncio.Semaphore(at_once)

    async def catch_up(self, stream: Stream, after: str | None) -> None:
        """Write what the client has missed since its cursor, if it has one; then the stream is live, or has ended."""
        ring = self._ring
        if after:
            cursor = cursors.parse(after)
            if cursor is None or cursor.generation != ring.head.generation:
                self._hub.resync(stream, ring.head)
            else:
                stream.position = cursor.number
        failures = 0
        while stream.end_reason is None and not stream.live:
            if self._ring.reaches(stream.position):
                await self._from_ring(stream)
            elif await self._from_backend(stream):
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(BACKOFF.delay(failures, self._random))

    @property
    def _ring(self) -> Ring:
        ring = self._hub.ring
        assert ring is not None  # noqa: S101 # streams are refused until there is one
        return ring

    async def _from_ring(self, stream: Stream) -> None:
        for message in self._ring.after(stream.position, *stream.targets):
            if self._send(stream, message):
                await stream.drained(self._patience)
                return
        stream.live = stream.end_reason is None

    async def _from_backend(self, stream: Stream) -> bool:
        """Write a page of the backend's; return whether there was one."""
        before, head = stream.position, self._ring.head
        try:
            page = await self._page(stream, head)
            messages = read_events(page.events)
        except grpc.aio.AioRpcError as error:
            if error.code() in _HOPELESS:
                self._hub.resync(stream, self._ring.head)
            return error.code() in _HOPELESS
        except (LostError, StrayCancellationError, ProtocolError):
            return False
        if stream.end_reason is not None:
            return True
        if page.resync_required:
            self._hub.resync(stream, self._ring.head)
            return True
        await self._write(stream, messages)
        if not page.more:
            stream.position = max(stream.position, head.number)
        return stream.position > before

    async def _page(self, stream: Stream, head: Cursor) -> ReplayResponse:
        request = ReplayRequest(
            account_id=stream.account_id,
            session_id=stream.session_id,
            after=str(Cursor(head.generation, stream.position)),
            up_to=str(head),
            limit=PAGE,
        )
        async with self._places:
            return await self._subscription.replay(request, TIMEOUT)

    async def _write(self, stream: Stream, messages: Sequence[Message]) -> None:
        for message in messages:
            if self._send(stream, message):
                await stream.drained(self._patience)

    def _send(self, stream: Stream, message: Message) -> bool:
        """Write one event; return whether the client should read first before there are more."""
        frame = stream.format.event(message.cursor, message.kind, message.payload)
        self._metrics.sent += stream.deliver(message, frame)
        if message.ends_session and message.target == stream.session_id:
            stream.end(End.REVOKED)
        return stream.full
