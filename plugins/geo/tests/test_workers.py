"""The background work, run by the kernel."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID


async def test_the_worker_writes_what_was_counted(world: Any, account: UUID) -> None:
    """Counts come to the table without anybody asking for it."""
    world.countries.count(account, "192.0.2.1")
    await _woken(world, "geo.count", lambda: world.counts(account), {"AT": 1})


async def test_the_worker_follows_the_file(world: Any, path: Path, write: Callable[..., Path], account: UUID) -> None:
    """A file put in place of the old one while the backend runs is what the next counts are told by."""
    write(path, {"192.0.2.0/24": "CH"})

    async def told() -> str | None:
        country: str | None = world.countries.country_of("192.0.2.1")
        return country

    await _woken(world, "geo.reload", told, "CH")
    world.countries.count(account, "192.0.2.1")
    await _woken(world, "geo.count", lambda: world.counts(account), {"CH": 1})


async def _woken(world: Any, worker: str, found: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Wake a worker before its time, and wait for what it does."""
    world.booted.kernel.assembly.require_shared().wakeups.wake(worker)
    async with asyncio.timeout(10):
        while await found() != expected:  # there is no event for it
            await asyncio.sleep(0.01)
