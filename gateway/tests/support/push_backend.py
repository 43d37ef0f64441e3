"""A backend's push service that the test scripts, behind real gRPC."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from galaxy_contracts.proto.push_pb2 import (
    Event,
    Frame,
    Opening,
    ReplayRequest,
    ReplayResponse,
    SubscribeRequest,
)

SERVICE = "galaxy.push.v1.Push"


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for a condition that background work brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # there is no event for it
            await asyncio.sleep(0.005)


@dataclass
class PushBackend:
    """The push service over a list of events, with what a test does to it."""

    generation: str = "g1"
    events: list[Event] = field(default_factory=list)
    last: int = 0
    trimmed: int = 0
    """Events up to this number are gone."""
    page: int = 1000
    """Most events in an answer of Replay."""
    subscriptions: list[str] = field(default_factory=list)
    """The cursor of each subscription."""
    replays: list[ReplayRequest] = field(default_factory=list)
    replay_codes: list[grpc.StatusCode] = field(default_factory=list)
    """What the next calls of Replay fail with."""
    before_replay: Callable[[], Any] | None = None
    """Called in the middle of each Replay."""
    replaying: int = 0
    most_replaying: int = 0
    open: int = 0
    address: str = ""
    token: str = "gateway-token-of-the-tests-0123456789"
    """The gateway's, which opens only this."""
    credentials: Any = None
    """What secures its listener, if anything does."""
    _server: Any = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def cursor(self, number: int | None = None) -> str:
        """Return a cursor of this generation: that of a number, or the last one."""
        return f"{self.generation}-{self.last if number is None else number}"

    async def publish(self, *numbers: int, **fields: Any) -> None:
        """Add events with these `n` in their payloads."""
        target = {} if "session_id" in fields else {"account_id": "alice"}
        for n in numbers:
            self.last += 1
            made = {"kind": "test.happened", "payload": json.dumps({"n": n}), **target, **fields}
            self.events.append(Event(cursor=self.cursor(), **made))
        async with self._changed:
            self._changed.notify_all()

    async def revoke(self, session_id: str) -> None:
        """Add the event that a session has ended."""
        await self.publish(0, kind="session.revoked", session_id=session_id)

    def restore(self, generation: str) -> None:
        """Become another generation, as a restored database is, with no events."""
        self.generation, self.events, self.trimmed = generation, [], self.last

    async def start(self) -> None:
        """Listen, at the same address as before if there was one."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handlers = {
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                self._subscribe,
                request_deserializer=SubscribeRequest.FromString,
                response_serializer=Frame.SerializeToString,
            ),
            "Replay": grpc.unary_unary_rpc_method_handler(
                self._replay,
                request_deserializer=ReplayRequest.FromString,
                response_serializer=ReplayResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        where = self.address or "127.0.0.1:0"
        if self.credentials is None:
            port = server.add_insecure_port(where)
        else:
            port = server.add_secure_port(where, self.credentials)
        await server.start()
        self._server, self.address = server, f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Close the listener and every call."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def _after(self, number: int) -> list[Event]:
        return [event for event in self.events if _number(event.cursor) > number]

    async def _subscribe(self, request: SubscribeRequest, context: Any) -> None:
        if dict(context.invocation_metadata()).get("x-gateway-token") != self.token:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        self.subscriptions.append(request.cursor)
        generation, _, number = request.cursor.rpartition("-")
        position = int(number) if number else self.last
        resync = bool(number) and (generation != self.generation or not self.trimmed <= position <= self.last)
        position = self.last if resync else position
        generation = self.generation
        self.open += 1
        try:
            await context.write(Frame(opening=Opening(cursor=self.cursor(position), resync_required=resync)))
            while True:
                async with self._changed:
                    await self._changed.wait_for(
                        lambda seen=position: self.last > seen or self.generation != generation
                    )
                if self.generation != generation:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "restored")
                batch = self._after(position)[:64]
                position = self.last if not batch else _number(batch[-1].cursor)
                if batch:
                    await context.write(Frame(events=batch))
        finally:
            self.open -= 1

    async def _replay(self, request: ReplayRequest, context: Any) -> ReplayResponse:
        self.replays.append(request)
        self.replaying += 1
        self.most_replaying = max(self.most_replaying, self.replaying)
        try:
            await asyncio.sleep(0)
            if self.before_replay is not None:
                await self.before_replay()
            if self.replay_codes:
                await context.abort(self.replay_codes.pop(0), "as scripted")
            return self._page(request)
        finally:
            self.replaying -= 1

    def _page(self, request: ReplayRequest) -> ReplayResponse:
        generation, _, number = request.after.rpartition("-")
        if generation != self.generation or int(number) < self.trimmed:
            return ReplayResponse(resync_required=True)
        up_to = _number(request.up_to)
        own = [
            event
            for event in self._after(int(number))
            if _number(event.cursor) <= up_to
            and (event.account_id or event.session_id) in (request.account_id, request.session_id)
        ]
        limit = min(request.limit, self.page)
        return ReplayResponse(events=own[:limit], more=len(own) > limit)


def _number(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])
