"""Reactions to deleted accounts."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from galaxy_contracts.accounts import AccountDeleted
from galaxy_geo import queries
from galaxy_geo.domain import Counted

AT, DE = "192.0.2.1", "198.51.100.1"


def deleted(account_id: UUID) -> AccountDeleted:
    return AccountDeleted(account_id, "ada@example.test", datetime(2030, 1, 1, tzinfo=UTC))


async def test_a_deletion_deletes_the_counters(world: Any, account: UUID) -> None:
    """A deleted account has no counters; others keep theirs."""
    other = uuid4()
    for each in (account, other):
        world.countries.count(each, AT)
    await world.countries.flush()
    await world.tell(deleted(account))
    assert await world.counts(account) == {}
    assert await world.counts(other) == {"AT": 1}


async def test_late_counts_do_not_come_back(make_world: Any, path: Path, account: UUID) -> None:
    """Requests noted before the deletion, or counted after it, on any replica, are neither written nor kept."""
    world = await make_world(path)
    other = await make_world(path, beside=world)
    bystander = uuid4()
    for replica in (world, other):
        replica.countries.count(account, AT)
        replica.countries.count(bystander, AT)
    await world.tell(deleted(account))
    for replica in (world, other):
        await replica.countries.flush()
        replica.countries.count(account, DE)
        await replica.countries.flush()
        assert replica.countries._tally.requests == 0
    assert await world.counts(account) == {}
    assert await world.counts(bystander) == {"AT": 2}


async def test_a_flush_under_way_does_not_slip_past_a_deletion(world: Any, account: UUID) -> None:
    """A flush waits for a deletion in progress and the reverse: whichever is first, no counter is left."""
    async with world.database.transaction() as connection:
        await world.countries.forget(connection, account)
        world.countries.count(account, AT)
        flush = asyncio.create_task(world.countries.flush())
        await _until_waiting(world)
    await flush
    assert await world.counts(account) == {}
    late = uuid4()
    async with world.database.transaction() as connection:
        await queries.add(connection, {(late, "AT"): Counted(1, world.clock.now())})
        deletion = asyncio.create_task(_forget(world, late))
        await _until_waiting(world)
    await deletion
    assert await world.counts(late) == {}


async def test_telling_it_twice_changes_nothing(world: Any, account: UUID) -> None:
    """The same deletion delivered again is handled again, without an error."""
    for _ in range(2):
        await world.tell(deleted(account))
    assert await world.counts(account) == {}


async def test_a_rolled_back_deletion_never_was(world: Any, account: UUID) -> None:
    """A deletion whose transaction is rolled back forgets nobody."""
    with pytest.raises(RuntimeError, match="on purpose"):
        async with world.database.transaction() as connection:
            await world.countries.forget(connection, account)
            raise RuntimeError("on purpose")
    world.countries.count(account, AT)
    await world.countries.flush()
    assert await world.counts(account) == {"AT": 1}


async def _forget(world: Any, account: UUID) -> None:
    async with world.database.transaction() as connection:
        await world.countries.forget(connection, account)


async def _until_waiting(world: Any) -> None:
    """Wait until a session waits for an advisory lock."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with asyncio.timeout(5):
        while True:
            async with world.database.reading() as connection:
                if (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)
