"""Parameters of path and query."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from galaxy_chassis.http.problems import Problem
from galaxy_devkit.testing.http import Api, make_route
from galaxy_kernel.http.model import Model, Page, Paging
from galaxy_kernel.http.parameters import Query


class State(StrEnum):
    ON = "on"
    OFF = "off"


class Filter(Paging):
    state: State | None = None
    kinds: tuple[str, ...] = ()
    owner: UUID | None = None


class Needed(Model):
    name: str


class Echo(Model):
    text: str


async def echo(thing: str) -> Echo:
    return Echo(text=thing)


async def numbered(thing_id: UUID, turn: Annotated[int, Field(ge=0)]) -> Echo:
    return Echo(text=f"{thing_id} {turn}")


async def filtered(query: Filter) -> Page[Echo]:
    items = [Echo(text=f"{query.state} {','.join(query.kinds)} {query.owner}")]
    return Page(items=items, page=query.page, page_size=query.page_size, total=1)


async def needing(query: Needed) -> Echo:
    return Echo(text=query.name)


@pytest.fixture
async def client(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve operations with parameters."""
    return await serve(
        make_route(echo, path="/api/v1/public/echo/{thing}"),
        make_route(numbered, path="/api/v1/public/things/{thing_id}/turns/{turn}"),
        make_route(filtered, path="/api/v1/public/list"),
        make_route(needing, path="/api/v1/public/needing"),
    )


async def test_path_parameters_are_parsed_and_all_bad_ones_named(client: Api) -> None:
    """A bad parameter is 422 by its name, not 404."""
    thing_id = uuid4()
    answer = await client("GET", f"/api/v1/public/things/{thing_id}/turns/3")
    assert answer.json == {"text": f"{thing_id} 3"}
    faults = (await client("GET", "/api/v1/public/things/x/turns/-1")).faults
    assert faults == {"thing_id": "must be a UUID", "turn": "must be at least 0"}


@pytest.mark.parametrize(
    ("raw", "text"), [("a%2Fb", "a/b"), ("%C3%A4", "ä"), ("a+b", "a+b"), ("%25", "%"), ("a%20b", "a b")]
)
async def test_a_path_parameter_is_decoded_once(client: Api, raw: str, text: str) -> None:
    """An encoded slash stays inside its parameter, and a plus is a plus."""
    from yarl import URL

    url = URL(f"http://{client.server.address}/api/v1/public/echo/{raw}", encoded=True)
    async with client.session.get(url) as response:
        assert await response.json() == {"text": text}


@pytest.mark.parametrize(("raw", "said"), [("%FF", "must be UTF-8"), ("a%00b", "must not hold the character NUL")])
async def test_a_path_parameter_that_is_no_text_is_refused(client: Api, raw: str, said: str) -> None:
    """Bytes outside UTF-8 and NUL never reach a handler."""
    from yarl import URL

    url = URL(f"http://{client.server.address}/api/v1/public/echo/{raw}", encoded=True)
    async with client.session.get(url) as response:
        assert response.status == 422
        assert said in (await response.json(content_type=None))["errors"][0]["message"]


async def test_a_query_has_defaults_lists_and_enumerations(client: Api) -> None:
    """A list parameter may be repeated, others not."""
    assert (await client("GET", "/api/v1/public/list")).json == {
        "items": [{"text": "None  None"}],
        "page": 1,
        "page_size": 50,
        "total": 1,
    }
    answer = await client("GET", "/api/v1/public/list?state=on&kinds=a&kinds=b&page=2&page_size=200")
    assert answer.json["items"] == [{"text": "on a,b None"}]
    assert (answer.json["page"], answer.json["page_size"]) == (2, 200)


async def test_every_bad_query_parameter_is_named(client: Api) -> None:
    """Unknown, repeated and malformed parameters are reported together."""
    answer = await client("GET", "/api/v1/public/list?page=0&page_size=201&state=x&owner=y&owner=z&colour=red&page=1")
    assert answer.status == 422
    assert answer.faults == {
        "page": "is given more than once",
        "page_size": "must be at most 200",
        "state": "must be 'on' or 'off'",
        "owner": "is given more than once",
        "colour": "is not a known parameter",
    }


async def test_a_needed_query_parameter_is_missed_by_name(client: Api) -> None:
    """A parameter without a default is required."""
    assert (await client("GET", "/api/v1/public/needing")).faults == {"name": "is required"}


async def test_a_query_where_none_is_taken_is_refused(client: Api) -> None:
    """A misspelt or needless parameter is not ignored."""
    assert (await client("GET", "/api/v1/public/echo/a?b=c")).faults == {"b": "is not a known parameter"}


class Written(Model):
    unread: bool = False
    maybe: bool | None = None
    counts: tuple[int, ...] = ()
    limit: Annotated[int | None, Field(ge=0)] = None
    either: int | str = 0


@pytest.mark.parametrize("text", ["yes", "on", "1", "0", "True", "TRUE", "t", "", " true", "no"])
def test_a_boolean_is_true_or_false_and_nothing_else(text: str) -> None:
    """The description says so, and a client that writes something else means something else."""
    for name in ("unread", "maybe"):
        with pytest.raises(Problem) as refused:
            Query(Written).parse(f"{name}={text}")
        assert [(each.field, each.message) for each in refused.value.faults] == [(name, "must be true or false")]
    assert Query(Written).parse("unread=true&maybe=false") == Written(unread=True, maybe=False)


@pytest.mark.parametrize("text", ["1_000", "1.0", "%201", "1%20", "%2B1", "0x1", "", "1e3", "\u0661"])
def test_a_whole_number_is_written_in_digits(text: str) -> None:
    """In a list too; a type that may be text as well is left to pydantic."""
    for name in ("counts", "limit"):
        with pytest.raises(Problem) as refused:
            Query(Written).parse(f"{name}={text}")
        assert [(each.field, each.message) for each in refused.value.faults] == [(name, "must be a whole number")]
    assert Query(Written).parse("counts=1&counts=-20&limit=007&either=1_0").counts == (1, -20)


async def test_a_path_parameter_is_written_as_a_query_parameter_is(client: Api) -> None:
    """The same notation holds."""
    answer = await client("GET", f"/api/v1/public/things/{uuid4()}/turns/1_0")
    assert answer.faults == {"turn": "must be a whole number"}


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]), max_size=80))
def test_any_query_string_is_a_value_or_a_422(raw: str) -> None:
    """No query string raises anything else."""
    try:
        assert isinstance(Query(Filter).parse(raw), Filter)
    except Problem as problem:
        assert problem.status == 422
        assert problem.faults
