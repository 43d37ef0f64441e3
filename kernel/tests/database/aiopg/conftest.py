"""A database through aiopg, and what goes to its server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.database.aiopg import connection as under_test


@pytest.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    """Return a database of one connection, through aiopg."""
    database = Database(make_engine(empty_database, pool_size=1), "backend")
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE SCHEMA backend")
    yield database
    await database.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of statements sent to the server."""
    statements: list[str] = []
    run = under_test.Connection.run

    async def watched(self: Any, cursor: Any, statement: str, parameters: Any = None) -> None:
        statements.append(statement)
        await run(self, cursor, statement, parameters)

    monkeypatch.setattr(under_test.Connection, "run", watched)
    return statements
