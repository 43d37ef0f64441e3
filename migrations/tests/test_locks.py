"""The lock of a schema: which runner waits, and how long."""

import asyncio
from datetime import timedelta

import pytest
from fakes import BROKEN, TRADE
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.errors import MigrationError
from galaxy_migrations.runner import migrate
from galaxy_migrations.session import lock_key, locked

SHORT = timedelta(milliseconds=1)
LONG = timedelta(seconds=20)


async def test_second_runner_waits_for_the_first(engine: AsyncEngine, schema: str) -> None:
    """A runner that finds the lock held reports it once, waits, and continues when it is free."""
    said: list[str] = []
    waiting = asyncio.Event()

    def log(message: str, *, plugin: str | None = None) -> None:
        said.append(message)
        waiting.set()

    async with locked(engine, schema, SHORT):
        run = asyncio.create_task(migrate(engine, schema, [TRADE], wait_timeout=LONG, log=log))
        await waiting.wait()
        assert not run.done()
    assert [item.revision for item in await run] == ["trade_0001"]
    assert said[0] == "schema 'backend': waiting for another process that migrates it"
    assert len(said) == 2


async def test_waiting_ends_with_the_name_of_the_holder(engine: AsyncEngine, schema: str) -> None:
    """A runner that waited too long names the session that holds the lock, and the remedy."""
    async with locked(engine, schema, SHORT) as connection:
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        with pytest.raises(MigrationError, match=rf"for 0.001 s: pid {pid} \(galaxy-backend\).*`backend migrate`"):
            await migrate(engine, schema, [TRADE], wait_timeout=SHORT)


async def test_nothing_to_do_waits_for_nobody(engine: AsyncEngine, schema: str) -> None:
    """A current schema is recognised without the lock."""
    await migrate(engine, schema, [TRADE])
    async with locked(engine, schema, SHORT):
        assert await migrate(engine, schema, [TRADE], wait_timeout=SHORT) == []


async def test_lock_is_free_after_failure(engine: AsyncEngine, schema: str) -> None:
    """A run that failed no longer holds the lock."""
    with pytest.raises(MigrationError):
        await migrate(engine, schema, [BROKEN])
    async with locked(engine, schema, SHORT):
        pass


async def test_schemas_do_not_wait_for_each_other(engine: AsyncEngine, schema: str) -> None:
    """Every schema has a lock of its own."""
    async with locked(engine, "other", SHORT):
        assert len(await migrate(engine, schema, [TRADE], wait_timeout=SHORT)) == 1


def test_lock_key_is_the_same_in_every_release() -> None:
    """The key is fixed: replicas of two releases must meet at it during an upgrade."""
    assert lock_key("backend") == 877057023509439628
