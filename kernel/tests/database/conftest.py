"""Every driver, on an event loop of each kind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any

import pytest
import uvloop

from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.database import Database, make_engine

DRIVERS = ("aiopg", "asyncpg", "psycopg")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Test the listener, which works outside SQLAlchemy, on both loops; test_faults does so by itself."""
    return LOOPS if item.path.name == "test_listener.py" else {"asyncio": LOOPS["asyncio"]}


@pytest.fixture(params=DRIVERS, scope="module")
def dsn(request: pytest.FixtureRequest, postgres_cluster: PostgresCluster) -> Iterator[str]:
    """Return the DSN of a database that the tests of a file share, for each driver in turn."""
    dsn = postgres_cluster.clone()
    yield dsn.replace("postgres://", f"postgresql+{request.param}://")
    postgres_cluster.drop(dsn)


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """Return a database with nothing in its schema, on the event loop of pytest."""
    database = Database(make_engine(dsn, pool_size=4), "backend")
    async with database.transaction() as connection:
        await connection.exec_driver_sql("DROP SCHEMA IF EXISTS backend CASCADE")
        await connection.exec_driver_sql("CREATE SCHEMA backend")
    yield database
    await database.close()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Return a function that runs a coroutine, on an event loop of each kind in turn."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run
