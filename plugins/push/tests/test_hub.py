"""The part of the stream in memory."""

import asyncio
import itertools
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_contracts.proto.push_pb2 import Frame
from galaxy_devkit.testing import ManualClock
from galaxy_push.domain import Cursor, StoredEvent, parse_cursor
from galaxy_push.hub import HELD_SECONDS, Hub

GENERATION = "0123456789ab"


def at(number: int) -> Cursor:
    return Cursor(GENERATION, number)


def number_of(cursor: str) -> int:
    parsed = parse_cursor(cursor, field="cursor")
    assert parsed is not None and parsed.generation == GENERATION
    return parsed.number


def stored(*numbers: int, size: int = 2) -> list[StoredEvent]:
    return [StoredEvent(n, uuid4(), None, "test.happened", "x" * size, "request-0001") for n in numbers]


def taken(hub: Hub, after: int) -> list[int]:
    """Return the numbers in the next frame."""
    found = hub.take(after)
    assert found is not None
    last, frame = found
    numbers = [number_of(event.cursor) for event in Frame.FromString(frame).events]
    assert numbers[-1] == last
    return numbers


async def test_waiting_ends_with_the_next_event(clock: ManualClock) -> None:
    """A subscriber that is up to date waits and is woken by the next event; others do not wait."""
    hub = Hub(clock.monotonic)
    waiting = asyncio.create_task(hub.beyond(at(10), hub.era))
    await asyncio.sleep(0)
    hub.open(at(10))
    await asyncio.sleep(0)
    assert not waiting.done()
    hub.add(stored(11))
    async with asyncio.timeout(5):
        await waiting
        await hub.beyond(at(10), hub.era)


async def test_a_new_era_wakes_everybody(clock: ManualClock) -> None:
    """Opened again, at any number, the hub wakes waiters, and has dropped earlier events."""
    hub = Hub(clock.monotonic)
    hub.open(at(10))
    hub.add(stored(11, 12))
    waiting = asyncio.create_task(hub.beyond(at(12), hub.era))
    await asyncio.sleep(0)
    hub.open(at(5))
    async with asyncio.timeout(5):
        await waiting
        await hub.beyond(at(12), 0)
    assert (hub.era, hub.head, hub.held) == (1, 5, 0)
    hub.add(stored(6))
    assert taken(hub, 5) == [6]


async def test_another_generation_wakes_who_waited_for_the_first(clock: ManualClock) -> None:
    """A subscriber that began before the hub opened is lost when it opens in another generation, without an event."""
    hub = Hub(clock.monotonic)
    cursor = Cursor("f" * 12, 10)
    waiting = asyncio.create_task(hub.beyond(cursor, hub.era))
    await asyncio.sleep(0)
    assert not hub.lost(cursor, hub.era)
    hub.open(at(10))
    async with asyncio.timeout(5):
        await waiting
    assert (hub.era, hub.lost(cursor, hub.era), hub.lost(at(10), hub.era)) == (0, True, False)


def test_a_frame_has_what_follows(clock: ManualClock) -> None:
    """A frame begins after the requested number, has at most 64 events, and skips gaps as the table does."""
    hub = Hub(clock.monotonic)
    hub.open(at(0))
    hub.add(stored(*range(1, 201), 210, 220))
    assert taken(hub, 0) == list(range(1, 65))
    assert taken(hub, 150) == [*range(151, 201), 210, 220]
    assert taken(hub, 205) == [210, 220]


def test_what_is_held_is_bounded_by_number(clock: ManualClock) -> None:
    """Past its bound the oldest events are dropped, and read from the table."""
    hub = Hub(clock.monotonic, held_events=100)
    hub.open(at(0))
    for start in range(1, 1001, 10):
        hub.add(stored(*range(start, start + 10)))
    assert hub.held == 100
    assert hub.take(899) is None
    assert taken(hub, 900)[0] == 901


def test_what_is_held_is_bounded_by_bytes(clock: ManualClock) -> None:
    """Large events push out others sooner, and one too large for the hub is not held at all."""
    hub = Hub(clock.monotonic, held_bytes=100_000)
    hub.open(at(0))
    hub.add(stored(*range(1, 101), size=10_000))
    assert hub.held == 9
    assert hub.take(90) is None
    hub.add(stored(101, size=200_000))
    assert (hub.held, hub.head) == (0, 101)
    assert hub.take(100) is None


def test_what_is_held_is_bounded_by_age(clock: ManualClock) -> None:
    """A quiet server drops events within a minute: those removed from the table are not sent from memory for long."""
    hub = Hub(clock.monotonic)
    hub.open(at(0))
    hub.add(stored(1))
    clock.advance(timedelta(seconds=HELD_SECONDS / 2))
    hub.add(stored(2))
    clock.advance(timedelta(seconds=HELD_SECONDS / 2 + 1))
    hub.add([])
    assert hub.held == 1
    assert hub.take(0) is None
    assert taken(hub, 1) == [2]


@given(
    batches=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=90), min_size=1, max_size=8),
    bound=st.integers(1, 200),
    start=st.integers(0, 50),
)
def test_who_keeps_up_hears_everything(batches: list[list[int]], bound: int, start: int) -> None:
    """From the hub, and from the table beyond it, a subscriber receives each event once and in order."""
    hub = Hub(ManualClock().monotonic, held_events=bound)
    hub.open(at(start))
    numbers = list(itertools.accumulate(itertools.chain(*batches), initial=start))[1:]
    table, heard, place = stored(*numbers), [], start
    for batch in batches:
        hub.add(table[: len(batch)])
        del table[: len(batch)]
        while hub.head is not None and hub.head > place:
            found = hub.take(place)
            if found is None:  # as the table would return
                place = next(number for number in numbers if number > place)
                heard.append(place)
            else:
                heard += [number_of(event.cursor) for event in Frame.FromString(found[1]).events]
                place = found[0]
    assert heard == numbers


async def test_a_wait_can_be_given_up(clock: ManualClock) -> None:
    """A subscriber that leaves leaves nothing behind."""
    hub = Hub(clock.monotonic)
    hub.open(at(0))
    waiting = asyncio.create_task(hub.beyond(at(0), hub.era))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hub.add(stored(1))
    assert taken(hub, 0) == [1]
