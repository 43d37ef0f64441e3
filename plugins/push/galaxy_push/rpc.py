"""The gRPC service (SPEC P-1 to P-4): one stream for each gateway that subscribes, and replays for its clients.

A stream holds its cursor and nothing else; what it sends comes from the hub, or from the table where it is further
behind. One frame at a time is passed to gRPC, and the next only when that one is sent, so events gather while a
subscriber is busy and are sent together: frames grow with the load, and no timer is involved.
"""

import asyncio
from typing import Any

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger

from galaxy_contracts.proto.push_pb2 import DESCRIPTOR, ReplayRequest, ReplayResponse, SubscribeRequest
from galaxy_kernel.api import Database, RpcService, is_unavailable
from galaxy_push import frames, queries
from galaxy_push.domain import Cursor, Standing, check_gateway_id, parse_cursor
from galaxy_push.errors import BlockedError, LaggingError, SubscriptionEndedError, TrimmedError
from galaxy_push.hub import Hub
from galaxy_push.metrics import Metrics
from galaxy_push.replays import Replays
from galaxy_push.settings import PushSettings

SERVICE: str = DESCRIPTOR.services_by_name["Push"].full_name
AT_THE_TABLE = 2
"""Subscribers that read the table at a time: when all come back at once, others still get a connection."""
LAST_WORDS = 1.0
"""Seconds for the reason to be sent. A subscriber that reads nothing receives it after what it has not read yet."""

_AGAIN = "subscribe again with the cursor of the last event you have handled"
_LOST = f"The backend has lost its position in the stream: {_AGAIN}."


class Subscriptions:
    """Serves `Subscribe`."""

    def __init__(
        self, database: Database, hub: Hub, settings: PushSettings, metrics: Metrics, log: FilteringBoundLogger
    ) -> None:
        self._database, self._hub, self._settings, self._metrics, self._log = database, hub, settings, metrics, log
        self._table = asyncio.Semaphore(AT_THE_TABLE)

    async def subscribe(self, request: SubscribeRequest, context: grpc.aio.ServicerContext) -> None:
        """Send an opening, and events until the subscriber leaves or is cut off."""
        try:
            gateway_id, cursor = check_gateway_id(request.gateway_id), parse_cursor(request.cursor, field="cursor")
        except ValueError as fault:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(fault))
        await context.send_initial_metadata(())  # together with the opening, a stop meanwhile could not send its reason
        stream = _Stream(context, self._settings)
        log = self._log.bind(gateway_id=gateway_id)
        self._metrics.subscribers += 1
        try:
            await self._serve(stream, cursor, log)
        except SubscriptionEndedError as end:
            log.warning("push_ended", reason=end.reason or "unavailable", cursor=str(stream.cursor), detail=str(end))
            if end.reason:
                self._metrics.cut_off[end.reason] += 1
            await _end(context, end)
        finally:
            self._metrics.subscribers -= 1

    async def _serve(self, stream: "_Stream", cursor: Cursor | None, log: FilteringBoundLogger) -> None:
        era = self._hub.era  # read before the cursor is known: a loss from here on ends the stream
        standing = await self._standing()
        if cursor is not None and standing.was_set_back(cursor):
            standing = await self._renewed(cursor)
        resync = cursor is not None and not standing.has_all_after(cursor)
        begin = standing.end if cursor is None or resync else cursor
        stream.generation, stream.position = begin
        log.info("push_subscribed", cursor=str(begin), resync_required=resync)
        await stream.write(frames.opening(begin, resync_required=resync))
        while True:
            await self._hub.beyond(stream.cursor, era)
            if self._hub.lost(stream.cursor, era):
                raise SubscriptionEndedError(_LOST)
            await self._next(stream)

    async def _next(self, stream: "_Stream") -> None:
        """Send what follows: a frame of the hub, or a page of the table."""
        head = self._hub.head or 0
        stream.check_lag(head)
        held = self._hub.take(stream.position)
        if held is None:
            page = await self._page(stream.cursor)
            await self._send_page(stream, page)
        else:
            position, frame = held
            await self._send(stream, position, position - stream.position, frame)
        stream.caught_up = stream.caught_up or stream.position >= (self._hub.head or 0)

    async def _send(self, stream: "_Stream", position: int, number: int, frame: bytes) -> None:
        await stream.write(frame)
        stream.position = position
        self._metrics.frames += 1
        self._metrics.sent += number

    async def _send_page(self, stream: "_Stream", page: queries.Page) -> None:
        start = 0
        for end, frame in frames.split([frames.encode(event, stream.generation) for event in page.events]):
            await self._send(stream, page.events[end - 1].seq, end - start, frame)
            start = end
        if len(page.events) < frames.MAX_EVENTS:  # that was all, also where the last events have been removed
            stream.position = page.standing.last_seq

    async def _page(self, after: Cursor) -> queries.Page:
        """Read the table."""
        try:
            async with self._table, self._database.reading() as connection:
                page = await queries.read(connection, after.number, frames.MAX_EVENTS)
        except Exception as error:
            raise _lost(error) from error
        if page.standing.generation != after.generation:
            raise SubscriptionEndedError(_LOST)
        if not page.standing.has_all_after(after):
            raise TrimmedError(f"Your next events are no longer kept: {_AGAIN}, and fetch your state again.")
        return page

    async def _standing(self) -> Standing:
        try:
            async with self._database.reading() as connection:
                return await queries.standing(connection)
        except Exception as error:
            raise _lost(error) from error

    async def _renewed(self, seen: Cursor) -> Standing:
        """Begin a new generation, since a gateway has a cursor ahead of the stream: the database was set back."""
        try:
            async with self._database.transaction() as connection:
                followed = await queries.follow(connection, queries.Seen(seen))
        except Exception as error:
            raise _lost(error) from error
        if followed.renewed:
            self._log.warning("push_generation_renewed", cursor=str(followed.standing.end))
        return followed.standing


class _Stream:
    """One subscriber's stream, and its cursor."""

    def __init__(self, context: grpc.aio.ServicerContext, settings: PushSettings) -> None:
        self._context, self._max_lag = context, settings.max_lag
        self._patience = settings.write_timeout.total_seconds()
        self.generation = ""
        self.position = 0
        """The number of the last event it was sent, in that generation."""
        self.caught_up = False
        """Whether it was once up to date: from then on it must keep up."""

    @property
    def cursor(self) -> Cursor:
        """Where it is."""
        return Cursor(self.generation, self.position)

    async def write(self, frame: bytes) -> None:
        """Send a frame; gRPC keeps it until the subscriber's window has room. Raise BlockedError."""
        try:
            async with asyncio.timeout(self._patience):
                await self._context.write(frame)
        except TimeoutError:
            raise BlockedError(
                f"You read no frame for {self._patience:g} s (BACKEND_PUSH_WRITE_TIMEOUT): read faster, and {_AGAIN}."
            ) from None

    def check_lag(self, head: int) -> None:
        """Raise LaggingError for a subscriber that was up to date once and is too far behind now."""
        lag = head - self.position
        if self.caught_up and lag > self._max_lag:
            raise LaggingError(
                f"You are {lag:,} events behind, of at most {self._max_lag:,} (BACKEND_PUSH_MAX_LAG): "
                f"read faster, and {_AGAIN}."
            )


def service(subscriptions: Subscriptions, replays: Replays) -> RpcService:
    """Return the service for the kernel's listener. What a subscription sends is bytes already."""
    handlers = {
        "Subscribe": grpc.unary_stream_rpc_method_handler(
            subscriptions.subscribe, request_deserializer=SubscribeRequest.FromString
        ),
        "Replay": grpc.unary_unary_rpc_method_handler(
            replays.replay,
            request_deserializer=ReplayRequest.FromString,
            response_serializer=ReplayResponse.SerializeToString,
        ),
    }
    handler = grpc.method_handlers_generic_handler(SERVICE, handlers)
    return RpcService(SERVICE, lambda server: server.add_generic_rpc_handlers((handler,)))


def _lost(error: Exception) -> Exception:
    """Return the error for a subscriber that a database error stands for."""
    if not is_unavailable(error):
        return error
    return SubscriptionEndedError(f"The backend cannot reach its database now: {_AGAIN}.")


async def _end(context: Any, end: SubscriptionEndedError) -> None:
    """Send the subscriber the reason; what it does not read in time stays with gRPC, after the frame it left."""
    try:
        async with asyncio.timeout(LAST_WORDS):
            await context.abort(end.code, str(end))
    except TimeoutError:
        return
