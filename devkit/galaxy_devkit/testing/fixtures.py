"""The pytest plugin `galaxy`: fixtures for authors of plugins."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from galaxy_chassis.clock import ManualClock
from galaxy_devkit.postgres.server import available
from galaxy_devkit.testing.http import Api, Serve, serving
from galaxy_devkit.testing.kernel import Boot, log_plainly, make_boot
from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.http.route import Route


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Log plainly, also after a test that has set the defaults of structlog again."""
    log_plainly()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One PostgreSQL server for the session, of each xdist worker; without its programs the test is skipped."""
    if reason := available():
        pytest.skip(f"no PostgreSQL for tests: {reason}")
    with PostgresCluster() as cluster:
        yield cluster


@pytest.fixture
def empty_database(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """Return the DSN of a fresh database without a table in it, dropped afterwards."""
    dsn = postgres_cluster.clone()
    yield dsn
    postgres_cluster.drop(dsn)


@pytest.fixture
def boot(postgres_cluster: PostgresCluster) -> Boot:
    """Return a function that boots a kernel with chosen plugins: `async with boot(MailPlugin) as booted: …`."""
    return make_boot(postgres_cluster)


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Return a function that serves routes of a plugin `demo` until the test ends, with the options of `serving`."""
    async with AsyncExitStack() as stack:

        async def start(*routes: Route, **options: Any) -> Api:
            return await stack.enter_async_context(serving(routes, **options))

        yield start
