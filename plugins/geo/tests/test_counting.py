"""Notes and counts, in memory."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from galaxy_geo.counting import Notes, Tally

NOW = datetime(2030, 1, 1, tzinfo=UTC)
COUNTRIES = {"192.0.2.1": "AT", "192.0.2.2": "AT", "198.51.100.1": "DE"}
ACCOUNTS = [UUID(int=number) for number in range(3)]


async def test_notes_become_counts_by_country() -> None:
    """Addresses of one country are counted together, those of none as ZZ."""
    notes, tally, account = Notes(), Tally(), uuid4()
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "198.51.100.1", "rubbish"):
        notes.add(account, address)
    assert await tally.resolve(notes.take()[0], NOW, COUNTRIES.get) == 0
    assert {key[1]: each.requests for key, each in tally.some(10).items()} == {"AT": 3, "DE": 1, "ZZ": 1}


def test_taking_begins_anew() -> None:
    """Notes are taken once, and later notes do not change them."""
    notes = Notes()
    notes.add(ACCOUNTS[0], "192.0.2.1")
    taken, _ = notes.take()
    notes.add(ACCOUNTS[0], "192.0.2.1")
    assert list(taken.values()) == [1]
    assert list(notes.take()[0].values()) == [1]
    assert notes.take() == ({}, 0)


def test_full_notes_drop_the_new_and_count_the_known() -> None:
    """Past the bound, known pairs are still counted; other requests are dropped, and their number is reported."""
    notes = Notes(most=2)
    for account in (*ACCOUNTS, *ACCOUNTS):
        notes.add(account, "192.0.2.1")
    taken, dropped = notes.take()
    assert (sorted(taken.values()), dropped) == ([2, 2], 2)


async def test_a_full_tally_drops_the_new_and_counts_the_known() -> None:
    """While nothing can be written, memory stays within its bound; known pairs are still counted."""
    tally = Tally(most=1)
    assert await tally.resolve({(ACCOUNTS[0], "192.0.2.1"): 1}, NOW, COUNTRIES.get) == 0
    dropped = await tally.resolve({(ACCOUNTS[0], "192.0.2.2"): 5, (ACCOUNTS[1], "192.0.2.1"): 7}, NOW, COUNTRIES.get)
    assert (dropped, tally.requests, len(tally)) == (7, 6, 1)


async def test_the_last_time_counts() -> None:
    """Counts of several flushes are as young as the last of them."""
    tally = Tally()
    for step in (1, 0):
        await tally.resolve({(ACCOUNTS[0], "192.0.2.1"): 1}, NOW + timedelta(seconds=step), COUNTRIES.get)
    (counted,) = tally.some(1).values()
    assert (counted.requests, counted.last_seen_at) == (2, NOW + timedelta(seconds=1))


async def test_only_what_was_written_goes() -> None:
    """Counts stay until they are written, one set after the other."""
    tally = Tally()
    await tally.resolve({(account, "192.0.2.1"): 1 for account in ACCOUNTS}, NOW, COUNTRIES.get)
    first = tally.some(2)
    assert tally.some(2) == first
    tally.written(first)
    assert len(tally.some(2)) == 1


async def test_a_cancelled_resolution_loses_nothing() -> None:
    """Notes that a cancelled pass left are resolved by the next one, with later ones."""
    tally = Tally()
    noted = {(UUID(int=number), "192.0.2.1"): 1 for number in range(1000)}
    task = asyncio.create_task(tally.resolve(noted, NOW, COUNTRIES.get))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 0 < len(tally) < 1000
    assert tally.requests == 1000
    await tally.resolve({(UUID(int=1), "192.0.2.1"): 5}, NOW, COUNTRIES.get)
    assert (len(tally), tally.requests) == (1000, 1005)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from([*COUNTRIES, "x"]))), min_size=1, max_size=4
    ),
    st.integers(1, 12),
)
def test_every_request_is_counted_or_dropped(flushes: list[list[tuple[UUID, str]]], most: int) -> None:
    """Whatever the bound and the order of calls, each request is counted once or dropped once."""
    notes, tally = Notes(most), Tally(most)
    dropped = written = 0

    async def run() -> None:
        nonlocal dropped, written
        for number, requests in enumerate(flushes):
            for account, address in requests:
                notes.add(account, address)
            noted, lost = notes.take()
            dropped += lost + await tally.resolve(noted, NOW, COUNTRIES.get)
            if number % 2:
                some = tally.some(3)
                written += sum(each.requests for each in some.values())
                tally.written(some)

    asyncio.run(run())
    assert dropped + written + tally.requests == sum(map(len, flushes))
    assert len(tally) <= most
