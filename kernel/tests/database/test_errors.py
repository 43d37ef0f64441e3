"""Errors are classified the same with every driver."""

import asyncio
import socket

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from galaxy_kernel.database import (
    Database,
    is_busy,
    is_retryable,
    is_unavailable,
    is_write_refused,
    make_engine,
    reason,
    sqlstate,
    unique_violation,
)

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{}'; END $$"


async def failure(database: Database, statement: str) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught:
        async with database.reading() as connection:
            await connection.exec_driver_sql(statement)
    return caught.value


@pytest.mark.parametrize(
    ("code", "unavailable", "retryable"),
    [
        ("57P01", True, False),
        ("57P03", True, False),
        ("57P02", True, False),
        ("57P04", True, False),
        ("57P05", True, False),
        ("57000", True, False),
        ("53000", True, False),
        ("53100", True, False),
        ("53200", True, False),
        ("53300", True, False),
        ("53400", True, False),
        ("25006", True, False),
        ("25P02", False, False),
        ("08006", True, False),
        ("40001", False, True),
        ("40P01", False, True),
        ("55P03", False, True),
        ("57014", False, False),
        ("22012", False, False),
        ("P0001", False, False),
        ("XX000", False, False),
        ("ZZ999", False, False),
    ],
)
async def test_codes(database: Database, code: str, unavailable: bool, retryable: bool) -> None:
    """The code comes through whatever wraps the error, and says whether to wait or to try again."""
    error = await failure(database, RAISE.format(code))
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        assert sqlstate(one) == code
        assert is_unavailable(one) is unavailable
        assert is_retryable(one) is retryable
        assert is_busy(one) is (retryable or code == "57014")
        assert is_write_refused(one) is (code in ("53100", "25006"))
        assert unique_violation(one) is None


async def test_unique_violations(database: Database) -> None:
    """A unique violation names its constraint or index; other violations are not unique violations."""
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL)")
        await connection.exec_driver_sql("CREATE UNIQUE INDEX t_lower_name ON t (lower(name))")
        await connection.exec_driver_sql("INSERT INTO t VALUES (1, 'a')")
    assert unique_violation(await failure(database, "INSERT INTO t VALUES (1, 'b')")) == "t_pkey"
    assert unique_violation(await failure(database, "INSERT INTO t VALUES (2, 'A')")) == "t_lower_name"
    other = await failure(database, "INSERT INTO t VALUES (2, NULL)")
    assert unique_violation(other) is None
    assert sqlstate(other) == "23502"


async def test_a_deadlock_is_retryable(database: Database) -> None:
    """Of two transactions that wait for each other one is retryable."""
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY)")
        await connection.exec_driver_sql("INSERT INTO t VALUES (1), (2)")
    both = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with database.transaction() as connection:
            await connection.exec_driver_sql("SET LOCAL deadlock_timeout = '50ms'")
            for number in (first, second):
                await connection.execute(text("SELECT 1 FROM t WHERE id = :id FOR UPDATE"), {"id": number})
                if number == first:
                    await both.wait()

    ends = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    (error,) = [end for end in ends if end is not None]
    assert sqlstate(error) == "40P01"
    assert is_retryable(error)


async def test_a_refused_login(dsn: str) -> None:
    """A wrong password is an error that does not show it."""
    scheme, _, rest = dsn.partition("://")
    database = Database(make_engine(f"{scheme}://galaxy:WRONG@{rest.partition('@')[2]}"), "backend")
    with pytest.raises(DBAPIError, match="password authentication failed") as caught:
        await database.ping()
    assert "WRONG" not in str(caught.value)
    assert "password authentication failed" in reason(caught.value)
    assert "\n" not in reason(caught.value)
    assert "sqlalche.me" not in reason(caught.value)
    assert sqlstate(caught.value) in {"28P01", None}


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), ConnectionResetError(), TimeoutError(), socket.gaierror(), PoolTimeoutError()]
)
def test_what_no_driver_raised(error: Exception) -> None:
    """Errors of the operating system and of the pool count as well."""
    assert is_unavailable(error)
    assert sqlstate(error) is None


@pytest.mark.parametrize("error", [ValueError(), FileNotFoundError(), RuntimeError("closed"), KeyError("57P01")])
def test_other_errors(error: Exception) -> None:
    """Errors of other origin are not the database's."""
    assert not is_unavailable(error)
    assert not is_retryable(error)
    assert sqlstate(error) is None
    assert unique_violation(error) is None


def test_an_error_while_another_is_handled() -> None:
    """An error raised while a database error was being handled is not that one."""
    import psycopg

    try:
        try:
            raise psycopg.errors.AdminShutdown("gone")
        except psycopg.Error:
            raise KeyError("name")  # noqa: B904 # what is tested
    except KeyError as error:
        assert sqlstate(error) is None
        assert not is_unavailable(error)


def test_a_circle_of_causes_ends() -> None:
    """Two errors that name each other as cause are visited once."""
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert sqlstate(one) is None
