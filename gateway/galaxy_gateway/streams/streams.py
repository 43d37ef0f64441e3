"""Live events of one gateway: its subscription, its streams, and their limits."""

import asyncio
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Self

from aiohttp.web import BaseRequest

from galaxy_chassis.clock import Clock
from galaxy_chassis.health import Health
from galaxy_chassis.http.connections import network_of
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.logs import get_logger
from galaxy_gateway.callers import Caller
from galaxy_gateway.streams import sse, websocket
from galaxy_gateway.streams.backend import credentials
from galaxy_gateway.streams.hub import Hub
from galaxy_gateway.streams.metrics import Metrics
from galaxy_gateway.streams.places import Places
from galaxy_gateway.streams.response import StreamedResponse, head
from galaxy_gateway.streams.resume import Resumer
from galaxy_gateway.streams.ring import Bounds, Ring
from galaxy_gateway.streams.settings import StreamSettings
from galaxy_gateway.streams.stream import End, Format, Stream
from galaxy_gateway.streams.subscription import Subscription

TICK = 1.0
"""Seconds between two looks at the streams; heartbeats are spread over the ticks of their interval."""
_SEND_BUFFER = 64 * 1024
"""Bytes that the kernel may hold for one client: it grants megabytes otherwise, in which a slow one goes unnoticed."""

_log = get_logger("galaxy_gateway.streams", plugin="gateway")


class Streams:
    """Serves `GET /api/v1/user/events`. Made inside the event loop that runs it; nothing is open until `run`."""

    def __init__(
        self,
        settings: StreamSettings,
        *,
        token: str,
        push_addresses: Sequence[str],
        clock: Clock,
        random: Random,
        metrics: Metrics,
    ) -> None:
        """`token`: the gateway's; `push_addresses`: the backends' push listeners, of which one is used at a time.

        Raise BootError for settings that cannot be used.
        """
        self._settings, self._random, self._metrics = settings, random, metrics
        self._places = Places(settings, metrics)
        self._heartbeat = settings.heartbeat.total_seconds()
        bounds = Bounds(settings.ring_age.total_seconds(), settings.ring_events, settings.ring_bytes)
        self._hub = Hub(bounds, max(1, round(self._heartbeat / TICK)), clock, metrics)
        self._subscription = Subscription(
            self._hub,
            metrics,
            random,
            addresses=push_addresses,
            token=token,
            gateway_id=_gateway_id(random),
            credentials=credentials(settings),
        )
        self._resumer = Resumer(
            self._hub,
            self._subscription,
            random,
            metrics,
            at_once=settings.replays,
            patience=2 * self._heartbeat,
        )
        self._stopping = False
        self._running: asyncio.Task[None] | None = None

    @property
    def on_revoked(self) -> list[Callable[[str], None]]:
        """Called with each session that has ended, before its next request."""
        return self._hub.on_revoked

    @property
    def on_reset(self) -> list[Callable[[], None]]:
        """Called when events, and so revocations, may have been missed: sessions have to be checked again."""
        return self._hub.on_reset

    @property
    def subscribed(self) -> bool:
        """Whether events, and so revocations, come in."""
        return self._subscription.open

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.run(), name="live events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def run(self) -> None:
        """Keep the subscription and the streams going until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscription.run(), name="events subscription")
            tasks.create_task(self._tick(), name="stream heartbeats")

    async def probe(self) -> Health:
        """Return the subscription's state: failed before the first one, degraded while it is lost."""
        return self._subscription.health()

    async def drain(self, timeout: float) -> None:
        """Refuse new streams and end the open ones; after `timeout` seconds whatever their clients have not read."""
        self._stopping = True
        await self._hub.stop(timeout)

    async def serve_sse(
        self,
        request: BaseRequest,
        caller: Caller,
        request_id: str,
        extra_headers: Mapping[str, str] | None = None,
        *,
        address: str | None = None,
    ) -> StreamedResponse:
        """Write server-sent events until the stream ends. `address` is the client's, where it is not the peer's.

        Raise Problem 429, 503 or 401, before anything is written.
        """
        sse.check(request)
        ring, network = self._admit(caller), network_of(address or request.remote or "")
        self._places.enter(caller.account_id, network)
        try:
            stream = self._stream(request, caller, sse.SERVER_SENT_EVENTS)
            last_event_id = request.headers.get(sse.LAST_EVENT_ID)
            retry = self._settings.retry.total_seconds() * self._random.uniform(0.5, 1.5)
            first = sse.opening(retry, None if last_event_id else ring.head)
            stream.write(head(request_id, extra_headers or {}) + first)
            request.protocol.set_parser(sse.IgnoredInput(stream))  # type: ignore[arg-type] # it has the methods needed
            self._hub.join(stream)
            try:
                await self._catch_up(stream, last_event_id)
                await stream.done
            finally:
                self._hub.leave(stream)
        finally:
            self._places.leave(caller.account_id, network)
        return StreamedResponse(200, request_id)

    async def serve_websocket(
        self,
        request: BaseRequest,
        caller: Caller,
        request_id: str,
        extra_headers: Mapping[str, str] | None = None,
        *,
        origin_allowed: Callable[[str], bool],
        address: str | None = None,
    ) -> StreamedResponse:
        """Answer the handshake and write messages until the stream ends. Otherwise as `serve_sse`.

        `origin_allowed` judges the `Origin` of a page; other programs send none. Raise Problem 400 or 403, too.
        """
        websocket.check(request, origin_allowed)
        self._admit(caller)
        network = network_of(address or request.remote or "")
        self._places.enter(caller.account_id, network)
        try:
            connection = await websocket.upgrade(request, request_id, extra_headers or {})
            stream = self._stream(request, caller, websocket.WEBSOCKET_MESSAGES)
            conversation = websocket.Conversation(stream)
            self._hub.join(stream)
            starting = asyncio.create_task(self._begin(stream, conversation))
            try:
                await conversation.listen(connection)
            finally:
                starting.cancel()
                self._hub.leave(stream)
        finally:
            self._places.leave(caller.account_id, network)
        return StreamedResponse(101, request_id)

    async def _begin(self, stream: Stream, conversation: websocket.Conversation) -> None:
        await self._catch_up(stream, await conversation.last_event_id(lambda: self._hub.resync_now(stream)))

    async def _catch_up(self, stream: Stream, after: str | None) -> None:
        try:
            await self._resumer.catch_up(stream, after)
        except Exception as error:
            _log.error("stream_failed", account_id=stream.account_id, exc_info=error)
            stream.end(End.FAILED)

    def _admit(self, caller: Caller) -> Ring:
        """Return the ring. Raise Problem."""
        ring = self._hub.ring
        if self._stopping or ring is None:
            self._metrics.refused["stopping" if self._stopping else "unavailable"] += 1
            detail = "The gateway is stopping." if self._stopping else "The backend's events cannot be reached yet."
            raise Problem(503, "events_unavailable", f"{detail} Connect again soon.", headers={"Retry-After": "1"})
        if ring.revoked(caller.session_id):
            self._metrics.refused["revoked"] += 1
            raise Problem(401, "unauthenticated", "The session has ended: sign in again.")
        return ring

    def _stream(self, request: BaseRequest, caller: Caller, format: Format) -> Stream:  # noqa: A002
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        _tune(transport, 2 * self._heartbeat)
        return Stream(caller, format, transport, request.writer.drain, buffer=self._settings.buffer)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self._hub.tick()
            except Exception as error:
                _log.error("heartbeats_failed", exc_info=error)


def _tune(transport: asyncio.Transport, patience: float) -> None:
    """Bound what the kernel holds for a client, and how long it waits for one that is unreachable (seconds)."""
    connection = transport.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if connection.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience * 1000))


def _gateway_id(random: Random) -> str:
    """Return a name for the backend's logs."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:40]
    return f"{host or 'gateway'}-{random.getrandbits(32):08x}"
