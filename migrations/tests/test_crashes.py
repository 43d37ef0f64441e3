"""Processes killed with SIGKILL anywhere in a run, and many that start at once."""

import multiprocessing
import signal
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import Any

import fakes
import pytest
import sqlalchemy as sa
from fakes import FLEET, SLOW, TRADE
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_migrations.comparison import drift
from galaxy_migrations.runner import migrate
from galaxy_migrations.states import check, stamps

SOON = timedelta(seconds=20)
processes = multiprocessing.get_context("forkserver")
# only what is installed: the server of forks does not see the path that the fakes are on
processes.set_forkserver_preload(
    ["galaxy_kernel.database", "galaxy_kernel.database.aiopg.dialect", "galaxy_migrations.runner"]
)


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = processes.Process(target=target, args=arguments)
    process.start()
    return process


async def at_boundary(engine: AsyncEngine, schema: str) -> bool:
    """Return whether the tables are just those of the revisions that are stamped."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        names = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = :schema")
        there = set((await connection.execute(names, {"schema": schema})).scalars())
        found = await stamps(connection, schema)
    expected = {table for stamp in found.values() for table in stamp.tables}
    return there == expected | {f"alembic_version_{plugin}" for plugin in found}


@pytest.mark.slow
async def test_killed_before_every_statement(empty_database: str, engine: AsyncEngine) -> None:
    """Killed before any statement or commit, a run leaves whole revisions and a free lock; the next one finishes."""
    killed = 0
    for point in range(1, 1000):
        schema = f"killed_{point}"
        process = started(fakes.killed_at, empty_database, schema, point)
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        assert await at_boundary(engine, schema)
        await migrate(engine, schema, [FLEET, TRADE], wait_timeout=SOON)
        assert [state.state for state in await check(engine, schema, [FLEET, TRADE])] == ["current", "current"]
        assert await drift(engine, schema, FLEET) + await drift(engine, schema, TRADE) == []
    assert killed > 30


async def test_killed_inside_a_long_statement(empty_database: str, engine: AsyncEngine, schema: str) -> None:
    """The server notices within seconds that the client of a long statement is gone, and frees the lock."""
    process = started(fakes.slowly, empty_database, schema, 600)
    asleep = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())"
    )
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while not (await connection.exec_driver_sql(asleep)).scalar_one():
            assert process.is_alive()
    process.kill()
    process.join()
    assert [item.revision for item in await migrate(engine, schema, [SLOW], wait_timeout=SOON)] == ["slow_0001"]


async def test_sixteen_start_at_once(empty_database: str, engine: AsyncEngine, schema: str) -> None:
    """Sixteen processes that start together on an empty database all come up (SPEC S-8)."""
    barrier = processes.Barrier(16)
    replicas = [started(fakes.together, empty_database, schema, barrier) for _ in range(16)]
    for replica in replicas:
        replica.join()
    assert [replica.exitcode for replica in replicas] == [0] * 16
    assert await drift(engine, schema, FLEET) == []
