"""The service: the contract, which its fake must keep too, and the fate of counts."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from galaxy_contracts.geo import Countries
from galaxy_contracts.testing import FakeCountries
from galaxy_geo import workers
from galaxy_geo.counting import Notes
from galaxy_geo.service import BATCH

AT, DE, US = "192.0.2.1", "198.51.100.1", "203.0.113.1"

Subject = tuple[Countries, Callable[[], AbstractAsyncContextManager[Any]], Callable[[], Any]]


@pytest.fixture(params=["real", "fake"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Return an implementation of `Countries`, its source of connections, and what makes its counts readable."""
    if request.param == "fake":
        return FakeCountries({AT: "AT", DE: "DE"}), lambda: nullcontext(None), lambda: asyncio.sleep(0)
    world: Any = request.getfixturevalue("world")
    return world.countries, world.database.transaction, world.countries.flush


async def test_contract_tells_countries(subject: Subject) -> None:
    """An address has its country or None, and anything else has none."""
    countries, _, _ = subject
    assert [countries.country_of(each) for each in (AT, DE, "192.0.3.1", "rubbish", "")] == [
        "AT",
        "DE",
        None,
        None,
        None,
    ]


async def test_contract_counts(subject: Subject, account: UUID) -> None:
    """Requests are counted by account and country, the most frequent country first; an unknown one is ZZ."""
    countries, transaction, settle = subject
    for address in (DE, AT, AT, "rubbish"):
        countries.count(account, address)
    countries.count(uuid4(), AT)
    await settle()
    async with transaction() as connection:
        found = await countries.counts(connection, account)
        assert await countries.counts(connection, uuid4()) == []
    assert [(each.country, each.requests) for each in found] == [("AT", 2), ("DE", 1), ("ZZ", 1)]
    assert all(each.last_seen_at.tzinfo for each in found)


async def test_counts_add_up(world: Any, account: UUID) -> None:
    """Each flush adds to the counters, and has the clock's time."""
    for _ in range(3):
        world.countries.count(account, AT)
        await world.countries.flush()
        world.clock.advance(timedelta(hours=1))
    async with world.database.reading() as connection:
        (found,) = await world.countries.counts(connection, account)
    assert (found.requests, found.last_seen_at) == (3, world.clock.now() - timedelta(hours=1))


async def test_two_replicas_add_to_the_same_counters(make_world: Any, path: Path) -> None:
    """Replicas that flush the same accounts at once, in opposite orders, lose no count and do not deadlock."""
    world = await make_world(path)
    other = await make_world(path, beside=world)
    accounts = [uuid4() for _ in range(300)]
    for _ in range(5):
        for account in accounts:
            world.countries.count(account, AT)
            world.countries.count(account, DE)
        for account in reversed(accounts):
            other.countries.count(account, DE)
            other.countries.count(account, AT)
        await asyncio.gather(world.countries.flush(), other.countries.flush())
    assert await world.rows() == 600
    assert await world.counts(accounts[0]) == await other.counts(accounts[-1]) == {"AT": 10, "DE": 10}


async def test_more_than_one_set(make_world: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More counters than one statement writes are written set by set; flush returns whether there is more."""
    monkeypatch.setattr(workers, "COUNT_INTERVAL", timedelta(hours=1))  # the worker must not write any of them
    world = await make_world(path)
    for number in range(BATCH + 10):
        world.countries.count(UUID(int=number), AT)
    assert await world.countries.flush()
    assert await world.rows() == BATCH
    assert not await world.countries.flush()
    assert await world.rows() == BATCH + 10


async def test_a_failed_flush_keeps_its_counts(world: Any, account: UUID) -> None:
    """Counts that could not be written are written by a later flush, once."""
    async with world.database.transaction() as connection:
        await connection.execute(text("ALTER TABLE user_country_counters RENAME TO away"))
    world.countries.count(account, AT)
    with pytest.raises(Exception, match="user_country_counters"):
        await world.countries.flush()
    world.countries.count(account, AT)
    async with world.database.transaction() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO user_country_counters"))
    await world.countries.flush()
    await world.countries.flush()
    assert await world.counts(account) == {"AT": 2}


async def test_a_stop_writes_what_was_counted(make_world: Any, boot: Any, path: Path, account: UUID) -> None:
    """A backend that is stopped, not killed, loses no count."""
    from galaxy_contracts.geo import COUNTRIES
    from galaxy_geo.plugin import GeoPlugin

    world = await make_world(path)
    environment = {"BACKEND_GEOIP_DB_PATH": str(path)}
    async with boot(GeoPlugin, environment=environment, dsn=world.booted.dsn) as other:
        other.kernel.services.require(COUNTRIES, asked_by="the test").count(account, AT)
    assert await world.counts(account) == {"AT": 1}


async def test_a_stop_without_the_table_is_a_stop(world: Any, account: UUID) -> None:
    """Counts that cannot be written at the end are logged with their number, and do not fail the stop."""
    async with world.database.transaction() as connection:
        await connection.execute(text("ALTER TABLE user_country_counters RENAME TO away"))
    for address in (AT, AT, DE):
        world.countries.count(account, address)
    with capture_logs() as lines:
        await world.countries.close()
    assert [line["requests"] for line in lines if line["event"] == "country_counts_lost"] == [3]


async def test_what_finds_no_room_is_logged_once(world: Any) -> None:
    """Dropped requests are one line in the log until there is room again, and requests are not affected."""
    world.countries._notes = Notes(most=1)
    with capture_logs() as lines:
        for fits in (False, False, True, False):
            for number in range(1 if fits else 3):
                world.countries.count(UUID(int=number), AT)
            await world.countries.flush()
    dropped = [line["requests"] for line in lines if line["event"] == "country_counts_dropped"]
    assert dropped == [2, 2]


async def test_no_address_is_kept(world: Any, account: UUID) -> None:
    """Neither the tables nor the log hold the address, or any part that would reveal it."""
    with capture_logs() as lines:
        for address in (AT, "2001:db8::1", "rubbish.192.0.2.1"):
            world.countries.count(account, address)
        await world.countries.flush()
    async with world.database.reading() as connection:
        rows = (await connection.execute(text("SELECT t::text FROM user_country_counters t"))).scalars().all()
    assert len(rows) == 2
    told = str(rows) + str(lines)
    assert "192.0" not in told
    assert "2001:db8" not in told
    assert not world.countries._notes.take()[0]
