"""The streams of this gateway, and what reaches them: events, resyncs, heartbeats, ends.

Everything here happens without an await, so that a stream that `resume` has brought up to date goes live with no event
between, and no event is written twice.
"""

import asyncio
from collections.abc import Callable, Iterable

from galaxy_chassis.clock import Clock, wait_for_event
from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.messages import RESYNC, Message
from galaxy_gateway.streams.metrics import Metrics
from galaxy_gateway.streams.ring import Bounds, Ring
from galaxy_gateway.streams.stream import End, Format, Stream


class Hub:
    """All open streams, by account and by session."""

    def __init__(self, bounds: Bounds, slots: int, clock: Clock, metrics: Metrics) -> None:
        """Begin without streams. Heartbeats are spread over `slots` ticks."""
        self._bounds, self._slots, self._clock, self._metrics = bounds, slots, clock, metrics
        self.ring: Ring | None = None
        """The last events; None until the backend has been reached for the first time."""
        self.on_revoked: list[Callable[[str], None]] = []
        """Called with each session that has ended."""
        self.on_reset: list[Callable[[], None]] = []
        """Called when events, and so revocations, may have been missed."""
        self._streams: set[Stream] = set()
        self._by_target: dict[str, set[Stream]] = {}
        self._slot = self._joined = 0
        self._stopping = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._streams)

    def join(self, stream: Stream) -> None:
        """Add a stream, which has everything up to now; end it if its session has ended or this gateway stops."""
        ring = self.ring
        assert ring is not None  # noqa: S101 # streams are refused until there is one
        stream.position = ring.head.number
        self._joined += 1
        stream.slot = self._joined % self._slots
        self._streams.add(stream)
        self._metrics.streams = len(self._streams)
        self._metrics.opened[stream.format.name] += 1
        for target in stream.targets:
            self._by_target.setdefault(target, set()).add(stream)
        if self._stopping:
            stream.end(End.STOPPING)
        elif ring.revoked(stream.session_id):  # since its caller was checked
            stream.end(End.REVOKED)

    def leave(self, stream: Stream) -> None:
        """Remove a stream; it ends, if it has not ended yet."""
        self._streams.discard(stream)
        self._metrics.streams = len(self._streams)
        self._metrics.ended[stream.end_reason or End.LEFT] += 1
        stream.end_reason, stream.live = stream.end_reason or End.LEFT, False
        for target in stream.targets:
            streams = self._by_target[target]
            streams.discard(stream)
            if not streams:
                del self._by_target[target]
        if not self._streams:
            self._empty.set()

    def opened(self, head: Cursor, *, resync: bool) -> None:
        """Begin, or go on, after `head`; with `resync`, or in another generation, forget all that was before."""
        if self.ring is None:
            self.ring = Ring(head, self._bounds, self._clock.monotonic)
        elif resync or head.generation != self.ring.head.generation:
            self.ring = Ring(head, self._bounds, self._clock.monotonic)
            for forget in self.on_reset:
                forget()
            frames = _Frames(str(head), RESYNC, "{}")
            for stream in tuple(self._streams):
                self._resync(stream, head, frames[stream.format])
                stream.end(End.RESYNC)

    def publish(self, messages: Iterable[Message]) -> None:
        """Keep events, and write them to their streams."""
        ring = self.ring
        assert ring is not None  # noqa: S101 # the subscription has opened
        for message in messages:
            if message.number > ring.head.number:
                ring.add(message)
                self._metrics.received += 1
                self._deliver(message)

    def resync(self, stream: Stream, head: Cursor) -> None:
        """Ask one client to fetch its state again; it has everything up to `head` then."""
        self._resync(stream, head, stream.format.event(str(head), RESYNC, "{}"))

    def resync_now(self, stream: Stream) -> None:
        """Ask one client to fetch its state again."""
        if self.ring is not None:
            self.resync(stream, self.ring.head)

    def tick(self) -> None:
        """Write the heartbeats of one slot, end the streams of expired sessions, and trim the ring; once a second."""
        ring = self.ring
        if ring is None:
            return
        ring.trim()
        self._slot = (self._slot + 1) % self._slots
        now = self._clock.now()
        for stream in tuple(self._streams):
            if stream.expires_at is not None and stream.expires_at <= now:
                stream.end(End.EXPIRED)
            elif stream.slot == self._slot:
                stream.beat(ring.head)

    async def stop(self, timeout: float) -> None:
        """End every stream, now and from now on, at once where the client has not read all within `timeout` seconds."""
        self._stopping = True
        self._empty.clear()
        for stream in tuple(self._streams):
            stream.end(End.STOPPING)
        if self._streams and not await wait_for_event(self._empty, timeout):
            for stream in tuple(self._streams):
                stream.abort()

    def _deliver(self, message: Message) -> None:
        streams = self._by_target.get(message.target)
        if streams is not None:
            frames = _Frames(message.cursor, message.kind, message.payload)
            for stream in tuple(streams):
                if stream.live:
                    self._metrics.sent += stream.deliver(message, frames[stream.format])
        if message.ends_session:
            self._end_session(message.target)

    def _end_session(self, session_id: str) -> None:
        for stream in tuple(self._by_target.get(session_id, ())):
            if stream.session_id == session_id:
                stream.end(End.REVOKED)
        for forget in self.on_revoked:
            forget(session_id)

    def _resync(self, stream: Stream, head: Cursor, frame: bytes) -> None:
        stream.position = head.number
        stream.write(frame)
        self._metrics.resyncs += 1


class _Frames(dict[Format, bytes]):
    """One message in each format, encoded when it is first needed."""

    def __init__(self, cursor: str, kind: str, payload: str) -> None:
        super().__init__()
        self._message = (cursor, kind, payload)

    def __missing__(self, format: Format) -> bytes:  # noqa: A002
        frame = self[format] = format.event(*self._message)
        return frame
