"""An engine made from a DSN has the right settings."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from galaxy_kernel.database import Database, make_engine


@pytest.mark.parametrize(
    ("scheme", "driver"),
    [
        ("postgres", "aiopg"),
        ("postgresql", "aiopg"),
        ("postgresql+aiopg", "aiopg"),
        ("postgresql+asyncpg", "asyncpg"),
        ("postgres+psycopg", "psycopg"),
    ],
)
def test_the_driver_is_the_dsns_choice(scheme: str, driver: str) -> None:
    """A bare scheme means aiopg."""
    assert make_engine(f"{scheme}://h/d").dialect.driver == driver


def test_the_engine_keeps_the_password_to_itself() -> None:
    """Neither the engine's address nor its representation shows the password."""
    engine = make_engine("postgres://u:SECRET@h/d")
    assert "SECRET" not in f"{engine!r} {engine.url!r} {engine.url.render_as_string(hide_password=False)}"


async def test_the_dsn_goes_before_the_arguments(dsn: str) -> None:
    """The application's name in the DSN is the one the server sees."""
    database = Database(make_engine(f"{dsn}?application_name=a%20%26%20b", application_name="c"), "backend")
    async with database.reading() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar_one() == "a & b"
    await database.close()


async def test_no_parameters_in_errors(dsn: str) -> None:
    """Bound values are not shown in the error of a statement."""
    database = Database(make_engine(dsn), "backend")
    with pytest.raises(DBAPIError) as caught:
        async with database.reading() as connection:
            await connection.execute(text("SELECT 1 / length(left(:secret, 0))"), {"secret": "SECRET"})
    assert "SECRET" not in str(caught.value)
    await database.close()
