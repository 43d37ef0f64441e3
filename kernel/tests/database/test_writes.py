"""A database that answers and takes no writes."""

import pytest
from sqlalchemy.exc import DBAPIError

from galaxy_kernel.database import Database
from galaxy_kernel.database.writes import FORGOTTEN_AFTER, WriteOutcomes

FULL = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"


class RefusedError(Exception):
    """What a driver raises."""

    sqlstate = "53100"


def test_a_few_refusals_in_a_row_are_a_fault_until_a_write_succeeds() -> None:
    """Other errors do not count; one success ends it."""
    outcomes = WriteOutcomes(lambda: 0.0)
    for _ in range(2):
        outcomes.failed(RefusedError("no space"))
        outcomes.failed(ValueError("unrelated"))
        assert (outcomes.in_doubt, outcomes.fault()) == (True, "")
    outcomes.failed(RefusedError("no space"))
    assert outcomes.fault() == "no space"
    outcomes.succeeded()
    assert (outcomes.in_doubt, outcomes.fault()) == (False, "")


def test_what_nobody_tries_is_not_known() -> None:
    """A refusal of long ago says nothing of now."""
    now = 0.0
    outcomes = WriteOutcomes(lambda: now)
    for _ in range(3):
        outcomes.failed(RefusedError("no space"))
    now = FORGOTTEN_AFTER + 1
    assert outcomes.fault() == ""


@pytest.mark.parametrize("statements", [[FULL], ["SET TRANSACTION READ ONLY", "CREATE TABLE never (id int)"]])
async def test_refused_writes_are_noticed_and_so_is_the_first_that_succeeds(
    database: Database, statements: list[str]
) -> None:
    """A transaction that only reads proves nothing about writing."""
    for _ in range(3):
        assert database.writes.fault() == ""
        with pytest.raises(DBAPIError):
            async with database.transaction() as connection:
                for statement in statements:
                    await connection.exec_driver_sql(statement)
    assert database.writes.fault()
    async with database.transaction() as connection:
        await connection.exec_driver_sql("SELECT 1")
    assert database.writes.fault()
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE written (id int)")
    assert database.writes.fault() == ""
