"""What the ring keeps, and what it reaches back to."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.messages import Message
from galaxy_gateway.streams.ring import Bounds, Ring


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def message(number: int, target: str = "a", payload: str = "{}", kind: str = "a.b") -> Message:
    """Return an event."""
    return Message(number, f"g-{number}", target, kind, payload)


def ring(head: int = 0, seconds: float = 300.0, events: int = 1000, size: int = 10**9) -> tuple[Ring, Time]:
    """Return an empty ring and its clock."""
    time = Time()
    return Ring(Cursor("g", head), Bounds(seconds, events, size), time), time


def numbers(messages: Any) -> list[int]:
    """Return the events' numbers."""
    return [each.number for each in messages]


def test_an_empty_ring_reaches_back_to_its_beginning() -> None:
    """After its first cursor there is nothing to miss; before it there may be."""
    kept, _ = ring(head=7)
    assert (kept.reaches(6), kept.reaches(7), kept.reaches(8)) == (False, True, True)
    assert (list(kept.after(7, "a")), kept.head) == ([], Cursor("g", 7))


def test_events_are_kept_by_target_and_in_order() -> None:
    """The events of an account and of a session are merged by number."""
    kept, _ = ring()
    for number, target in ((1, "a"), (3, "s"), (4, "b"), (6, "a"), (9, "s")):
        kept.add(message(number, target))
    assert numbers(kept.after(0, "a", "s")) == [1, 3, 6, 9]
    assert numbers(kept.after(3, "a", "s")) == [6, 9]
    assert numbers(kept.after(4, "a", "s")) == [6, 9]
    assert numbers(kept.after(9, "a", "s")) == []


def test_old_events_go() -> None:
    """An event older than the limit is not kept, also where no other comes."""
    kept, time = ring(seconds=300.0)
    kept.add(message(1))
    time.seconds = 200.0
    kept.add(message(2))
    time.seconds = 300.0
    kept.trim()
    assert (len(kept), kept.floor) == (2, 0)
    time.seconds = 300.1
    kept.trim()
    assert (len(kept), kept.floor, kept.head.number) == (1, 1, 2)
    time.seconds = 600.0
    kept.trim()
    assert (len(kept), kept.floor, kept.size, kept._by_target) == (0, 2, 0, {})


def test_bytes_are_bounded() -> None:
    """Large payloads leave room for fewer events."""
    kept, _ = ring(size=3000)
    for number in range(1, 5):
        kept.add(message(number, payload="x" * 500))
    assert (len(kept), kept.floor) == (2, 2)
    assert kept.size <= 3000


@given(
    targets=st.lists(st.sampled_from("asb"), max_size=40),
    events=st.integers(1, 10),
    after=st.integers(0, 40),
)
def test_what_it_reaches_it_has_whole(targets: list[str], events: int, after: int) -> None:
    """Whatever was added and removed, it returns exactly the targets' events after a number that it reaches."""
    kept, _ = ring(events=events)
    for number, target in enumerate(targets, 1):
        kept.add(message(number, target))
    assert len(kept) == min(events, len(targets))
    assert kept.reaches(after) == (after >= len(targets) - events or after >= len(targets))
    if kept.reaches(after):
        expected = [number for number, target in enumerate(targets, 1) if number > after and target != "b"]
        assert numbers(kept.after(after, "a", "s")) == expected


def test_a_revoked_session_is_known() -> None:
    """The event that a session has ended is found by the session."""
    kept, _ = ring()
    kept.add(message(1, "s1", kind="session.changed"))
    assert not kept.revoked("s1")
    kept.add(message(2, "s1", kind="session.revoked"))
    assert (kept.revoked("s1"), kept.revoked("s2")) == (True, False)
