"""A handler's signature, read once. What is refused stands in `test_routing` too, with the route's own faults."""

import functools
from typing import Annotated, Any
from uuid import UUID

import pytest
from aiohttp.web import StreamResponse
from pydantic import Field, ValidationError

from galaxy_chassis.http.problems import FieldError
from galaxy_devkit.testing.http import make_route
from galaxy_kernel.errors import PluginError
from galaxy_kernel.http.call import Call, Response
from galaxy_kernel.http.model import Model, Page, Paging
from galaxy_kernel.http.signature import Signature, read_signature, refusal


class Thing(Model):
    """A thing."""

    name: str


def signature(handler: Any, method: str = "POST", path: str = "/api/v1/public/things") -> Signature:
    return read_signature("demo", make_route(handler, method, path))


async def nothing() -> None: ...


def test_a_handler_that_takes_and_returns_nothing() -> None:
    """It answers 204."""
    read = signature(nothing)
    assert (read.path, read.query, read.body, read.answer, read.answer_model) == ((), None, None, None, None)
    assert not (read.wants_call or read.body_optional or read.raw)


def test_parameters_come_in_the_order_of_the_path() -> None:
    """Whatever the order of the handler: segments are matched by position."""

    async def show(call: Call, number: int, game_id: UUID) -> None: ...

    read = signature(show, path="/api/v1/public/games/{game_id}/turns/{number}")
    assert [parameter.name for parameter in read.path] == ["game_id", "number"]
    assert read.wants_call
    faults: list[FieldError] = []
    assert read.path[1].parse("7", faults) == 7
    assert read.path[0].parse("7", faults) is None
    assert [fault.field for fault in faults] == ["game_id"]


def test_constraints_of_an_annotation_hold() -> None:
    """`Annotated` is read with all that is in it."""

    async def show(number: Annotated[int, Field(ge=1)]) -> None: ...

    (number,) = signature(show, path="/api/v1/public/{number}").path
    faults: list[FieldError] = []
    number.parse("0", faults)
    assert len(faults) == 1


def test_a_body_may_be_optional() -> None:
    """`None` in its annotation says so."""

    async def needed(body: Thing) -> None: ...
    async def optional(body: Thing | None) -> None: ...

    assert not signature(needed).body_optional
    assert signature(optional).body_optional
    body = signature(needed).body
    assert body is not None
    assert body.validate_python({"name": "n"}) == Thing(name="n")
    with pytest.raises(ValidationError):
        body.validate_python(None)


def test_a_query_is_a_model() -> None:
    """Its fields are the parameters."""

    async def list_things(query: Paging) -> None: ...

    query = signature(list_things, "GET").query
    assert query is not None
    assert query.parse("page=3") == Paging(page=3)


async def _model() -> Thing: ...  # type: ignore[empty-body] # only its signature is read
async def _response() -> Response[Thing]: ...  # type: ignore[empty-body] # as above
async def _page() -> Page[Thing]: ...  # type: ignore[empty-body] # as above
async def _list() -> list[Thing]: ...  # type: ignore[empty-body] # as above
async def _either() -> Thing | None: ...
async def _empty() -> Response[None]: ...  # type: ignore[empty-body] # as above
async def _stream() -> StreamResponse: ...  # type: ignore[empty-body] # as above


@pytest.mark.parametrize(
    ("handler", "model", "described", "raw"),
    [
        (_model, Thing, True, False),
        (_response, Thing, True, False),
        (_page, Page[Thing], True, False),
        (_list, None, True, False),
        (_either, None, True, False),
        (_empty, None, False, False),
        (_stream, None, False, True),
    ],
)
def test_what_is_answered(handler: Any, model: type[Model] | None, described: bool, raw: bool) -> None:
    """One model has a serialiser of its own, everything else an adapter; a stream is the handler's own matter."""
    read = signature(handler)
    assert (read.answer_model, read.answer is not None, read.raw) == (model, described, raw)


def test_what_a_partial_has_bound_is_not_asked_of_the_request() -> None:
    """By position and by name, and however deep."""

    async def show(prefix: str, suffix: str, thing_id: int) -> None: ...

    bound = functools.partial(functools.partial(show, "a"), suffix="b")
    assert [parameter.name for parameter in signature(bound, path="/api/v1/public/{thing_id}").path] == ["thing_id"]


def test_what_cannot_be_given_by_name_is_refused() -> None:
    """Neither positions nor stars: a request has names alone."""

    async def position(thing_id: int, /) -> None: ...
    async def keywords(**thing: int) -> None: ...

    for handler in (position, keywords):
        with pytest.raises(PluginError, match="plugin 'demo'"):
            signature(handler, path="/api/v1/public/{thing_id}")


def test_a_refusal_names_all_there_is_to_know_of_the_route() -> None:
    """Plugin, name, method and path, and the reason behind them."""
    error = refusal("demo", make_route(nothing, "PUT", "/api/v1/public/x"), "because")
    assert isinstance(error, PluginError)
    assert all(part in str(error) for part in ("'demo'", "'demo.nothing'", "PUT /api/v1/public/x", "because"))
