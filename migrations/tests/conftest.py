"""The fake plugins on the import path, and engines for an empty database."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from galaxy_kernel.database import make_engine

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))

SCHEMA = "backend"


@pytest.fixture
def schema() -> str:
    """Return the name of a schema that does not exist yet."""
    return SCHEMA


@pytest.fixture
async def engine(empty_database: str) -> AsyncIterator[AsyncEngine]:
    """Return an engine, with the default driver, for a database without a table or schema of ours."""
    engine = make_engine(empty_database)
    yield engine
    await engine.dispose()
