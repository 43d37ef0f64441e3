"""Frames as bytes: an event is encoded once for all subscribers, and frames are concatenated without decoding."""

from collections.abc import Iterator, Sequence

from galaxy_contracts.proto.push_pb2 import Event, Frame, Opening
from galaxy_push.domain import Cursor, StoredEvent

MAX_EVENTS = 64
"""Events in a frame. A message costs gRPC the same whatever its size; beyond this a larger one gains little."""
MAX_BYTES = 512 * 1024
"""Bytes of a frame, unless its only event has more: far below the clients' default limit of 4 MiB."""


def message(event: StoredEvent, generation: str) -> Event:
    """Return an event as gateways receive it."""
    return Event(
        cursor=str(Cursor(generation, event.seq)),
        account_id=None if event.account_id is None else str(event.account_id),
        session_id=None if event.session_id is None else str(event.session_id),
        kind=event.kind,
        payload=event.payload,
        request_id=event.request_id,
    )


def encode(event: StoredEvent, generation: str) -> bytes:
    """Return the frame of one event.

    Frames in a row are, byte for byte, the frame of all their events: protobuf merges messages that are concatenated.
    """
    frame: bytes = Frame(events=[message(event, generation)]).SerializeToString()
    return frame


def opening(cursor: Cursor, *, resync_required: bool) -> bytes:
    """Return the first frame of a stream."""
    frame = Frame(opening=Opening(cursor=str(cursor), resync_required=resync_required))
    encoded: bytes = frame.SerializeToString()
    return encoded


def fitting(encoded: Sequence[bytes]) -> int:
    """Return how many of these events, from the first, go into one frame: one at least."""
    size = 0
    for number, event in enumerate(encoded[:MAX_EVENTS]):
        size += len(event)
        if size > MAX_BYTES and number:
            return number
    return min(len(encoded), MAX_EVENTS)


def split(encoded: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Put events into frames; yield each frame with the number of events up to its end."""
    end = 0
    while end < len(encoded):
        start, end = end, end + fitting(encoded[end : end + MAX_EVENTS])
        yield end, b"".join(encoded[start:end])
