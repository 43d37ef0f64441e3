"""The database of a measure: a private durable server, with the schema of the plugins that the measure needs."""

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from galaxy_chassis.logs import configure_logging
from galaxy_devkit.postgres.server import EmbeddedPostgres
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.database import Database, make_engine, schema_of

QUIET = {"BACKEND_OTEL_TRACES_EXPORTER": "none", "BACKEND_OTEL_METRICS_EXPORTER": "none"}
"""No telemetry."""
SECRET = {"BACKEND_SECRET_KEY": "a secret key for measures, of more than 32 bytes"}
ENVIRONMENT = SECRET | QUIET
EVERYTHING = SECRET | {"BACKEND_PLUGINS_DISABLED": os.environ.get("BACKEND_PLUGINS_DISABLED", "")}
"""The environment of a full backend with default telemetry; the caller may leave plugins out."""
DRIVERS = {"aiopg": "postgres", "asyncpg": "postgresql+asyncpg", "psycopg": "postgresql+psycopg"}
"""Our drivers, with the scheme by which a DSN chooses each."""


@asynccontextmanager
async def migrated(*plugins: type[Any]) -> AsyncIterator[str]:
    """Start a durable server (fsync on) and return the DSN of a database with the plugins' schema.

    Without plugins it is the schema of everything installed.
    """
    configure_logging("warning", stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="galaxy-bench-") as folder:
        async with EmbeddedPostgres(Path(folder) / "postgres") as server:
            dsn = server.dsn("postgres", search_path="backend")
            database = Database(make_engine(dsn), schema_of(dsn))
            try:
                environment = (ENVIRONMENT if plugins else EVERYTHING) | {"BACKEND_POSTGRES_DSN": dsn}
                assembly = assemble(environment, discovery=from_classes(*plugins) if plugins else None)
                await schema.bring_up(database, assembly.plugins, apply=True)
            finally:
                await database.close()
            yield dsn


async def run(dsn: str, *statements: str) -> None:
    """Run statements one by one, outside a transaction."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def by_driver(dsn: str, driver: str) -> str:
    """Return the DSN that chooses one of `DRIVERS`."""
    return DRIVERS[driver] + dsn[dsn.index("://") :]


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    """Open our database layer, as the service does."""
    database = Database(make_engine(dsn), schema_of(dsn))
    try:
        await database.ping()
        yield database
    finally:
        await database.close()
