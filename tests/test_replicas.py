"""Several processes at once on an empty database (SPEC K-3).

GALAXY_TEST_PROCESSES=16 makes it the full measure of S-8; each takes seconds of processor time to start.
"""

import asyncio
import os
from pathlib import Path

import pytest
from full_backend import Served
from sqlalchemy import text

import galaxy_mail
from galaxy_kernel.database import Database, make_engine, schema_of

PROCESSES = int(os.environ.get("GALAXY_TEST_PROCESSES", "6"))


@pytest.mark.slow
async def test_all_come_up_on_an_empty_database(empty_database: str) -> None:
    """Processes that start at once all become ready; each revision was applied once."""
    all_served = [Served(empty_database, {"BACKEND_POSTGRES_POOL_SIZE": "2"}) for _ in range(PROCESSES)]
    await asyncio.gather(*(served.__aenter__() for served in all_served))
    assert len({served.url for served in all_served}) == PROCESSES
    lines = [line for served in all_served for line in served.lines]
    applied = [line["message"] for line in lines if line["event"] == "migration_progressed"]
    assert sum("kernel_0001: applied" in message for message in applied) == 1
    await asyncio.gather(*(served.__aexit__() for served in all_served))
    assert [served.process.returncode for served in all_served] == [0] * PROCESSES
    database = Database(make_engine(empty_database), schema_of(empty_database))
    async with database.reading() as connection:
        query = text("SELECT version_num FROM backend.alembic_version_mail")
        revisions = sorted(Path(galaxy_mail.__file__).parent.glob("migrations/[0-9]*.py"))
        assert (await connection.execute(query)).scalars().all() == [f"mail_{revisions[-1].name[:4]}"]
    await database.close()
