"""Fixtures that the tests of all parts use: a conftest.py imports what it needs."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis_server import RedisServer, World, memory_world, redis_server, redis_world


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """Run one server for all tests that neither stop nor configure it."""
    with redis_server() as server:
        yield server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Run a server for one test."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Return a store of each kind, empty."""
    world = memory_world() if request.param == "memory" else redis_world(request.getfixturevalue("shared_server"))
    yield world
    await world.store.aclose()
