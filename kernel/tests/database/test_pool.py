"""The pool that counts who waits."""

import asyncio
import logging

from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.database.pool import WaitingPool


async def test_those_who_wait_for_a_connection_are_counted(empty_database: str) -> None:
    """A task waits while every connection is in use, and no longer once it has one or has given up."""
    database = Database(make_engine(empty_database, pool_size=1, pool_timeout=60), "public")
    pool = database.engine.pool
    assert isinstance(pool, WaitingPool)
    async with database.reading():
        assert (pool.checkedout(), pool.size(), pool.waiting) == (1, 1, 0)
        waiting = [asyncio.create_task(database.ping()) for _ in range(3)]
        async with asyncio.timeout(10):
            while pool.waiting < 3:
                await asyncio.sleep(0)
        waiting.pop().cancel()
        async with asyncio.timeout(10):
            while pool.waiting > 2:
                await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert pool.waiting == 0
    await database.close()


def test_a_pool_is_as_quiet_as_those_of_sqlalchemy() -> None:
    """What SQLAlchemy logs of each connection is not an event of ours."""
    assert not logging.getLogger(f"{WaitingPool.__module__}.{WaitingPool.__qualname__}").isEnabledFor(logging.INFO)
