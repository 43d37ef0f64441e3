"""The gRPC method `Replay` (SPEC P-4): the events for one session between two cursors, read from the table.

Reads only, so a process that dies in the middle leaves nothing. Few replays read at a time, apart from the subscribers'
own reads, and a limited number waits for its turn: so however many clients resume at once, others get connections, and
the listener has places for subscriptions.
"""

import asyncio

import grpc
import grpc.aio

from galaxy_contracts.proto.push_pb2 import ReplayRequest, ReplayResponse
from galaxy_kernel.api import Database, is_unavailable
from galaxy_push import frames, queries
from galaxy_push.domain import Range, parse_range
from galaxy_push.metrics import Metrics

AT_ONCE = 2
"""Replays that read the table at a time."""
WAITING = 256
"""Most replays in progress, those that read included."""


class Replays:
    """Serves `Replay`."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database, self._metrics = database, metrics
        self._table = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def replay(self, request: ReplayRequest, context: grpc.aio.ServicerContext) -> ReplayResponse:
        """Return the events in the range, or that the client needs a resync."""
        try:
            wanted = parse_range(request.account_id, request.session_id, request.after, request.up_to, request.limit)
        except ValueError as fault:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(fault))
        if self._waiting >= WAITING:
            self._metrics.replays["refused"] += 1
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{WAITING} replays are waiting here: call again after a moment."
            )
        try:
            found = await self._read(wanted)
        except Exception as error:
            if not is_unavailable(error):
                raise
            self._metrics.replays["unavailable"] += 1
            await context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "The backend cannot reach its database now: call again, or at another replica.",
            )
        return self._answer(wanted, found)

    async def _read(self, wanted: Range) -> queries.Replayed:
        self._waiting += 1
        try:
            async with self._table, self._database.reading() as connection:
                return await queries.replay(connection, wanted, frames.MAX_BYTES)
        finally:
            self._waiting -= 1

    def _answer(self, wanted: Range, found: queries.Replayed) -> ReplayResponse:
        if not wanted.is_known_to(found.standing):
            self._metrics.replays["resync"] += 1
            return ReplayResponse(resync_required=True)
        self._metrics.replays["answered"] += 1
        events = [frames.message(event, found.standing.generation) for event in found.events]
        return ReplayResponse(events=events, more=found.more)
