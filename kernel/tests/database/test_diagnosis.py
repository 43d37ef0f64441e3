"""Why Postgres refuses us: each reason is found with each driver, and has its remedy."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from galaxy_kernel.database import Database, diagnose, make_engine, sqlstate

DRIVERS = pytest.mark.parametrize("driver", ["aiopg", "asyncpg", "psycopg"])
WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "password": (lambda dsn: changed(dsn, password="hunter2"), "the user name or the password in BACKEND_POSTGRES_DSN"),
    "no password": (lambda dsn: changed(dsn, password=""), "the user name or the password in BACKEND_POSTGRES_DSN"),
    "user": (lambda dsn: changed(dsn, user="nobody"), "the user name or the password in BACKEND_POSTGRES_DSN"),
    "database": (lambda dsn: changed(dsn, database="nowhere"), "create it with CREATE DATABASE"),
    "port": (lambda dsn: changed(dsn, port=1), "nothing listens there"),
    "host": (lambda dsn: changed(dsn, host="no-such-host.invalid"), "does not resolve"),
    "tls": (lambda dsn: f"{dsn}?sslmode=require", "must agree on TLS"),
}


def changed(
    dsn: str, *, user: str = "", password: str | None = None, host: str = "", port: int = 0, database: str = ""
) -> str:
    """Return a DSN with another part."""
    parts = urlsplit(dsn)
    secret = parts.password if password is None else password
    login = f"{user or parts.username}:{secret}"
    return urlunsplit(
        parts._replace(
            netloc=f"{login}@{host or parts.hostname}:{port or parts.port}",
            path=f"/{database}" if database else parts.path,
        )
    )


async def failure(dsn: str, statement: str = "SELECT 1") -> Exception:
    """Return the error of a statement on a connection of its own."""
    database = Database(make_engine(dsn), "backend")
    try:
        with pytest.raises(Exception) as caught:
            async with database.transaction() as connection:
                await connection.exec_driver_sql(statement)
    finally:
        await database.close()
    error: Exception = caught.value
    return error


@DRIVERS
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_refused_connection(empty_database: str, driver: str, wrong: str) -> None:
    """The remedy names what of the DSN is wrong, and neither has the password in it."""
    change, says = WRONG[wrong]
    dsn = change(empty_database).replace("postgres://", f"postgresql+{driver}://")
    told = diagnose(await failure(dsn))
    assert told is not None and says in told
    assert "hunter2" not in told


@pytest.fixture
def weak_role(empty_database: str) -> Iterator[str]:
    """Return the DSN of a role that may do nothing."""
    connection = psycopg2.connect(empty_database)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'; CREATE TABLE locked (id int)")
        yield changed(empty_database, user="weak", password="weak")
        cursor.execute("DROP OWNED BY weak; DROP ROLE weak")
    connection.close()


@DRIVERS
async def test_a_refused_statement(weak_role: str, driver: str) -> None:
    """A privilege that the role lacks is one, whatever the statement."""
    dsn = weak_role.replace("postgres://", f"postgresql+{driver}://")
    error = await failure(f"{dsn}?search_path=public", "SELECT * FROM locked")
    assert sqlstate(error) == "42501"
    assert "grant the role what it lacks" in str(diagnose(error))


@DRIVERS
async def test_a_database_that_takes_no_writes(empty_database: str, driver: str) -> None:
    """It says so, and where to look."""
    dsn = empty_database.replace("postgres://", f"postgresql+{driver}://")
    error = await failure(dsn, READ_ONLY)
    assert "default_transaction_read_only" in str(diagnose(error))


READ_ONLY = "DO $$ BEGIN SET TRANSACTION READ ONLY; CREATE TABLE x (id int); END $$"


@pytest.mark.parametrize("error", [ValueError("refused"), KeyError("SSL")])
def test_other_errors_are_not_about_that(error: Exception) -> None:
    """Words alone decide nothing."""
    assert diagnose(error) is None


def test_an_unavailable_server_without_a_known_reason() -> None:
    """The reason is shown as it is."""
    assert diagnose(TimeoutError("gone fishing")) == (
        "is Postgres running, and is BACKEND_POSTGRES_DSN right? (gone fishing)"
    )
