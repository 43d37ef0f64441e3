"""The background work, run by the kernel."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from structlog.testing import capture_logs


async def test_the_worker_writes_what_was_counted(world: Any, account: UUID) -> None:
    """Counts are written without a request for it."""
    world.countries.count(account, "192.0.2.1")
    await _woken(world, "geo.count", lambda: world.counts(account), {"AT": 1})


async def test_the_worker_follows_the_file(world: Any, path: Path, write: Callable[..., Path], account: UUID) -> None:
    """A file that replaces the old one while the backend runs is used for the next counts."""
    write(path, {"192.0.2.0/24": "CH"})

    async def told() -> str | None:
        country: str | None = world.countries.country_of("192.0.2.1")
        return country

    await _woken(world, "geo.reload", told, "CH")
    world.countries.count(account, "192.0.2.1")
    await _woken(world, "geo.count", lambda: world.counts(account), {"CH": 1})


async def test_counts_that_cannot_be_written_stop_nobody(world: Any, account: UUID) -> None:
    """However often writing fails, the backend stays ready and reports it; later everything is written, once."""
    await _rename(world, "user_country_counters", "away")
    with capture_logs() as lines:
        for _ in range(8):
            world.countries.count(account, "192.0.2.1")
            assert not await world.countries.work()
    assert [line["event"] for line in lines if line["event"] == "country_counts_delayed"] == ["country_counts_delayed"]
    status, state, detail = await world.probe("country_counters")
    assert (status, state) == (200, "degraded")
    assert "wait in memory" in detail
    await _rename(world, "away", "user_country_counters")
    await world.countries.work()
    assert await world.probe("country_counters") == (200, "ok", "")
    assert await world.counts(account) == {"AT": 8}


async def _rename(world: Any, old: str, new: str) -> None:
    async with world.database.transaction() as connection:
        await connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


async def _woken(world: Any, worker: str, found: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Wake a worker before its time, and wait for its pass."""
    world.booted.kernel.assembly.require_resources().wakeups.wake(worker)
    async with asyncio.timeout(10):
        while await found() != expected:  # there is no event for it
            await asyncio.sleep(0.01)
