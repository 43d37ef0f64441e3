"""Models of requests and answers, and pages of lists."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError, create_model
from sqlalchemy.ext.asyncio import AsyncConnection

from galaxy_kernel.database import make_engine
from galaxy_kernel.http.fields import Timestamp
from galaxy_kernel.http.model import MAX_PAGE, Model, Page, Paging, fetch_page


class Inner(Model):
    at: Timestamp


class Outer(Model):
    at: Timestamp | None = None
    """When it happened."""
    all: tuple[Timestamp, ...] = ()
    inner: Inner | None = None
    ratio: float = 0.0


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_a_time_is_written_in_utc_with_a_z_wherever_it_stands(naive: datetime, minutes: int) -> None:
    """RFC 3339 whatever offset came in, also nested and in lists, and it reads back as the same instant."""
    at = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    written = Outer(at=at, all=(at,), inner=Inner(at=at)).model_dump(mode="json")
    for text in (written["at"], written["all"][0], written["inner"]["at"]):
        assert text.endswith("Z")
        assert datetime.fromisoformat(text) == at


def test_a_time_without_an_offset_is_refused() -> None:
    """Naive times are refused, in answers too."""
    with pytest.raises(ValidationError, match="timezone"):
        Inner(at=datetime(2030, 1, 1))


@pytest.mark.parametrize(
    "kind",
    [datetime, datetime | None, list[datetime], dict[str, tuple[datetime, ...]], Annotated[datetime, Field(title="T")]],
    ids=str,
)
def test_a_time_that_could_lack_an_offset_is_refused_with_its_class(kind: Any) -> None:
    """An author who writes `datetime` hears of `Timestamp` before any request comes."""
    with pytest.raises(TypeError, match=r"Late\.at: declare a time as Timestamp"):
        create_model("Late", __base__=Model, at=(kind, ...))


def test_a_page_of_plain_times_is_refused() -> None:
    """Type parameters are looked at too."""
    with pytest.raises(TypeError, match="declare a time as Timestamp"):
        Page[datetime]


def test_a_model_is_frozen_closed_and_documented() -> None:
    """Unknown fields are refused, fields do not change, and doc strings become descriptions."""
    with pytest.raises(ValidationError):
        Outer(colour="red")  # type: ignore[call-arg] # that is the fault
    with pytest.raises(ValidationError):
        Outer().at = None
    assert Outer.model_json_schema()["properties"]["at"]["description"] == "When it happened."


def test_infinity_is_no_number_of_json() -> None:
    """A time that cannot be written is refused on input."""
    with pytest.raises(ValidationError):
        Outer(ratio=float("inf"))


def test_a_validation_error_never_shows_the_value() -> None:
    """Errors never hold the value, which may be a secret."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Outer).validate_python({"ratio": "the secret"})
    assert "the secret" not in str(caught.value)


def test_a_page_is_written_with_its_totals() -> None:
    """The shape of SPEC K-9."""
    page = Page[Inner](items=[Inner(at=datetime(2030, 1, 1, tzinfo=UTC))], page=2, page_size=1, total=5)
    assert page.model_dump(mode="json") == {
        "items": [{"at": "2030-01-01T00:00:00Z"}],
        "page": 2,
        "page_size": 1,
        "total": 5,
    }


@pytest.mark.parametrize("bad", [{"page": 0}, {"page": MAX_PAGE + 1}, {"page_size": 0}, {"page_size": 201}])
def test_paging_has_bounds(bad: dict[str, int]) -> None:
    """From 1, and no page is larger than 200."""
    with pytest.raises(ValidationError):
        Paging(**bad)


numbers = sa.table("numbers", sa.column("number", sa.Integer))


@pytest.fixture
async def connection(empty_database: str) -> AsyncIterator[AsyncConnection]:
    """Return a connection to a database with a table of the numbers 1 to 7."""
    engine = make_engine(empty_database)
    async with engine.connect() as opened:
        await opened.execute(sa.text("CREATE TEMPORARY TABLE numbers AS SELECT generate_series(1, 7) AS number"))
        yield opened
    await engine.dispose()


@pytest.mark.parametrize(("page", "found"), [(1, [1, 2, 3]), (2, [4, 5, 6]), (3, [7]), (4, []), (MAX_PAGE, [])])
async def test_a_page_has_its_rows_and_the_total(connection: AsyncConnection, page: int, found: list[int]) -> None:
    """Also past the end the total is right."""
    statement = sa.select(numbers.c.number).order_by(numbers.c.number)
    rows, total = await fetch_page(connection, statement, Paging(page=page, page_size=3))
    assert ([row.number for row in rows], total) == (found, 7)


async def test_an_empty_list_is_a_page_too(connection: AsyncConnection) -> None:
    """An empty list has no rows and a total of 0, with one statement."""
    executed: list[Any] = []
    sa.event.listen(connection.sync_connection, "before_cursor_execute", lambda *given: executed.append(given[2]))
    statement = sa.select(numbers.c.number).where(numbers.c.number > 7).order_by(numbers.c.number)
    assert await fetch_page(connection, statement, Paging()) == ([], 0)
    assert len(executed) == 1


def test_a_page_is_made_of_the_query_that_asked_for_it() -> None:
    """A list's own filters make its page too, with the page and the size that were asked for."""

    class Filter(Paging):
        colour: str = "red"

    page = Filter(page=3, page_size=2).page_of([Inner(at=datetime(2030, 1, 1, tzinfo=UTC))], 5)
    assert (page.page, page.page_size, page.total) == (3, 2, 5)
    assert TypeAdapter(Page[Inner]).dump_json(page) == (
        b'{"items":[{"at":"2030-01-01T00:00:00Z"}],"page":3,"page_size":2,"total":5}'
    )


async def test_a_model_shows_rows_and_values(connection: AsyncConnection) -> None:
    """A model takes the attributes it has fields for, of a row with more columns, and checks them."""
    statement = sa.text("SELECT 7 AS other, CAST('2030-01-01T01:00+01' AS timestamptz) AS at")
    assert Inner.of((await connection.execute(statement)).one()) == Inner(at=datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(ValidationError):
        Inner.of(datetime(2030, 1, 1))


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_a_field_is_described_whatever_name_it_has(mode: Any) -> None:
    """By its own name or an alias, as the schema of a body or of an answer has it; its own description goes before."""

    class Named(Model):
        plain: int
        """Of the field."""
        taken: int = Field(validation_alias="sent")
        """Of what is sent."""
        given: int = Field(serialization_alias="shown")
        """Of what is shown."""
        own: int = Field(description="Its own.")
        """Not this."""
        silent: int

    described = TypeAdapter(Named).json_schema(mode=mode)["properties"]
    texts = {each.get("description") for each in described.values()}
    assert texts == {"Of the field.", "Of what is sent.", "Of what is shown.", "Its own.", None}
