"""Frames as bytes."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from galaxy_contracts.proto.push_pb2 import Frame
from galaxy_push import frames
from galaxy_push.domain import Cursor, StoredEvent

GENERATION = "0123456789ab"


def stored(seq: int, payload: str = "{}") -> StoredEvent:
    return StoredEvent(seq, uuid4(), None, "test.happened", payload, "request-0001")


def test_frames_in_a_row_are_one_frame() -> None:
    """Encoded events put one after the other are the frame of all of them, in their order."""
    events = [stored(number, f'{{"n":{number}}}') for number in range(1, 65)]
    frame = Frame.FromString(b"".join(frames.encode(event, GENERATION) for event in events))
    assert [event.cursor for event in frame.events] == [f"{GENERATION}-{event.seq}" for event in events]
    assert [event.account_id for event in frame.events] == [str(event.account_id) for event in events]
    assert not frame.HasField("opening")


def test_an_opening_has_no_events() -> None:
    """The opening has the cursor from which the stream begins, and whether a resync is required."""
    frame = Frame.FromString(frames.opening(Cursor(GENERATION, 17), resync_required=True))
    assert (frame.opening.cursor, frame.opening.resync_required, len(frame.events)) == (f"{GENERATION}-17", True, 0)


@given(st.lists(st.integers(1, frames.MAX_BYTES * 2), max_size=200))
def test_splitting_keeps_everything_within_bounds(sizes: list[int]) -> None:
    """Frames hold all events in order, at most 64 each, and more than 512 KiB only of a single event."""
    encoded = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    made = list(frames.split(encoded))
    assert b"".join(frame for _, frame in made) == b"".join(encoded)
    ends = [0, *(end for end, _ in made)]
    assert ends[-1] == len(encoded)
    for start, (end, frame) in zip(ends, made, strict=False):
        assert 1 <= end - start <= frames.MAX_EVENTS
        assert len(frame) <= frames.MAX_BYTES or end - start == 1
