"""The API's description: valid OpenAPI 3.1, complete, and true to what the service does."""

import asyncio
import json
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import Field
from schemathesis.generation import GenerationMode

from galaxy_devkit.testing.http import GATEWAY, OPERATOR_AUTH, SESSION, make_route, serving
from galaxy_kernel.errors import PluginError
from galaxy_kernel.http import openapi
from galaxy_kernel.http.call import Call, Html, Response
from galaxy_kernel.http.fields import Timestamp
from galaxy_kernel.http.model import Model, Page, Paging
from galaxy_kernel.http.route import Access


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(Model):
    weight: Annotated[int, Field(ge=1, le=9)]
    """How heavy it is."""


class Thing(Model):
    thing_id: UUID
    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z]+$")]
    colour: Colour = Colour.RED
    parts: tuple[Part, ...] = ()
    made_at: Timestamp | None = None


class Filter(Paging):
    colour: Colour | None = None
    """Only those of this colour."""
    owners: tuple[UUID, ...] = ()


async def show(call: Call, thing_id: UUID) -> Thing:
    """Describe it at length."""
    return Thing(thing_id=thing_id, name="a")


async def many(query: Filter) -> Page[Thing]:
    return Page(items=[], page=query.page, page_size=query.page_size, total=0)


async def revalidate() -> Response[Thing]:
    return Response(Thing(thing_id=UUID(int=1), name="a"), headers={"ETag": '"1"'})


async def make(body: Thing) -> Response[Thing]:
    return Response(body, headers={"Location": f"/api/v1/admin/things/{body.thing_id}"})


async def drop(thing_id: UUID, body: Part | None) -> None: ...


async def enter(form: Part) -> Html:
    return Html(f"<!doctype html><p>{form.weight}</p>")


ROUTES = [
    make_route(show, path="/api/v1/user/things/{thing_id}", access=Access.USER, errors=("404 not_found",)),
    make_route(many, path="/api/v1/public/things"),
    make_route(
        make,
        "POST",
        "/api/v1/admin/things",
        access=Access.ADMIN,
        status=201,
        errors=("409 taken", "409 old"),
        headers=("Location",),
    ),
    make_route(
        revalidate,
        path="/api/v1/user/things",
        access=Access.USER,
        headers=("If-None-Match", "ETag"),
        description="At length.",
    ),
    make_route(enter, "POST", path="/api/v1/public/entries"),
    make_route(drop, "DELETE", "/api/v1/internal/things/{thing_id}", access=Access.INTERNAL),
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the document of ROUTES as a client reads it."""
    built = openapi.build([("demo", route) for route in ROUTES], "Demo", "1.2")
    read: dict[str, Any] = json.loads(json.dumps(built))
    return read


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """The validator of the specification finds nothing."""
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"
    assert (document["info"]["title"], document["info"]["version"]) == ("Demo", "1.2")
    assert "GET /api/v1/user/events" in document["info"]["description"]
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_no_routes_make_a_valid_document() -> None:
    """A kernel without plugins describes itself too, with its own version."""
    built = openapi.build([])
    OpenAPIV31SpecValidator(built).validate()
    assert built["info"]["title"] == "Galaxy Backend"
    assert built["info"]["version"]


def test_an_operation_is_named_tagged_and_secured(document: dict[str, Any]) -> None:
    """The route's name, the plugin, and what its access demands."""
    operation = document["paths"]["/api/v1/user/things/{thing_id}"]["get"]
    assert (operation["operationId"], operation["tags"], operation["summary"]) == ("demo.show", ["demo"], "Do a thing.")
    assert operation["description"] == "Describe it at length."
    assert (operation["security"], operation["x-access"]) == ([{"user": []}], "user")
    assert document["paths"]["/api/v1/public/things"]["get"]["security"] == []
    schemes = document["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme.get("scheme")) for name, scheme in schemes.items()} == {
        "user": ("http", "bearer"),
        "internal": ("apiKey", None),
        "admin": ("http", "basic"),
    }


def test_parameters_carry_their_constraints(document: dict[str, Any]) -> None:
    """Path and query with types, bounds and docs; null, which a query cannot say, is left out."""
    by_id = document["paths"]["/api/v1/user/things/{thing_id}"]["get"]["parameters"][0]
    assert by_id == {"name": "thing_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    listed = document["paths"]["/api/v1/public/things"]["get"]["parameters"]
    query = {one["name"]: one for one in listed if one.get("in") == "query"}
    assert query["page_size"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert query["colour"]["schema"] == {"type": "string", "enum": ["red", "blue"]}
    assert query["colour"]["description"] == "Only those of this colour."
    assert query["owners"]["schema"]["items"] == {"type": "string", "format": "uuid"}
    assert query["owners"]["explode"] is True
    assert not any(one["required"] for one in query.values())


def test_bodies_and_answers_are_described_with_bounds(document: dict[str, Any]) -> None:
    """Each by its model under components, closed to unknown fields."""
    operation = document["paths"]["/api/v1/admin/things"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    model = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert operation["requestBody"]["required"] is True
    assert model["additionalProperties"] is False
    assert model["properties"]["name"] | {"title": ""} == {
        "type": "string",
        "minLength": 1,
        "maxLength": 40,
        "pattern": "^[a-z]+$",
        "title": "",
    }
    assert next(iter(operation["responses"])) == "201"
    optional = document["paths"]["/api/v1/internal/things/{thing_id}"]["delete"]
    assert optional["requestBody"]["required"] is False
    assert "content" not in optional["responses"]["204"]


def test_a_form_and_a_page_are_described(document: dict[str, Any]) -> None:
    """A form in both of its encodings, a page as text."""
    operation = document["paths"]["/api/v1/public/entries"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"application/x-www-form-urlencoded", "multipart/form-data"}
    assert all(each["schema"]["$ref"].endswith("/Part") for each in content.values())
    assert operation["responses"]["200"]["content"] == {"text/html": {"schema": {"type": "string"}}}
    codes = operation["responses"]["400"]["content"]["application/problem+json"]["schema"]
    assert codes["properties"]["code"]["enum"] == ["malformed_form", "invalid_idempotency_key"]


def test_problems_are_listed_with_their_codes(document: dict[str, Any]) -> None:
    """The route's own, those of its access, and those common to all."""
    responses = document["paths"]["/api/v1/admin/things"]["post"]["responses"]
    found = {
        status: response["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"]
        for status, response in responses.items()
        if status >= "400"
    }
    assert found["409"] == ["taken", "old"]
    assert found["401"] == ["unauthenticated"]
    assert found["413"] == ["body_too_large"]
    assert found["500"] == ["internal"]
    assert "database_unavailable" in found["503"]
    assert "413" not in document["paths"]["/api/v1/public/things"]["get"]["responses"]


def test_headers_are_listed_where_they_are(document: dict[str, Any]) -> None:
    """Conditions and tags where a route declares them, and a key for what clients change through the gateway."""

    def names(path: str, method: str) -> set[str]:
        return {
            one["$ref"].rpartition("/")[2] for one in document["paths"][path][method]["parameters"] if "$ref" in one
        }

    tagged = document["paths"]["/api/v1/user/things"]["get"]
    assert tagged["description"] == "At length."
    assert names("/api/v1/user/things", "get") == {"If-None-Match"}
    assert set(tagged["responses"]["304"]["headers"]) == {"X-Request-Id", "ETag"}
    assert {"ETag", "RateLimit"} < set(tagged["responses"]["200"]["headers"])
    assert names("/api/v1/public/entries", "post") == {"Idempotency-Key"}
    made = document["paths"]["/api/v1/admin/things"]["post"]
    assert "parameters" not in made
    assert set(made["responses"]["201"]["headers"]) == {"X-Request-Id", "Location"}


def test_a_bad_route_is_refused_here_too() -> None:
    """`backend openapi` prints the document that `serve` would serve."""

    async def odd(stranger: int) -> None: ...

    with pytest.raises(PluginError, match="takes 'stranger'"):
        openapi.build([("demo", make_route(odd))])


async def test_the_document_is_served_as_built() -> None:
    """`GET /openapi.json` returns the document of what is installed, and HEAD its length."""
    async with serving(ROUTES) as api:
        answer = await api("GET", "/openapi.json")
        assert answer.json == json.loads(json.dumps(openapi.build([("demo", route) for route in ROUTES])))
        assert (await api("HEAD", "/openapi.json")).headers["Content-Length"] == str(len(answer.body))


@pytest.mark.slow
async def test_what_the_document_allows_the_service_takes() -> None:
    """Requests generated from the document are accepted, broken ones refused, and answers match it."""
    described = schemathesis.openapi.from_dict(openapi.build([("demo", route) for route in ROUTES]))
    described.config.generation.update(allow_x00=False, modes=list(GenerationMode))
    credentials = {"internal": GATEWAY, "user": SESSION, "admin": OPERATOR_AUTH, "public": {}}
    async with serving(ROUTES) as api:
        operations: list[Any] = [found.ok() for found in described.get_all_operations()]  # type: ignore[union-attr] # an Err raises here
        for operation in operations:
            headers = credentials[operation.definition.raw["x-access"]]
            await asyncio.to_thread(_exercise, operation, f"http://{api.server.address}", headers)


def _exercise(operation: Any, base_url: str, headers: dict[str, str]) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def call(case: Any) -> None:
        case.call_and_validate(base_url=base_url, headers=headers)

    call()
