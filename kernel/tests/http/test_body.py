"""Bodies: what is malformed, what is too large, and which field is wrong."""

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue, TypeAdapter

from galaxy_chassis.http.problems import Problem
from galaxy_devkit.testing.http import Api, make_route
from galaxy_kernel.http import body as bodies
from galaxy_kernel.http.fields import Timestamp
from galaxy_kernel.http.model import Model


class Cron(Model):
    cron: str


class Every(Model):
    interval: int


class Thing(Model):
    name: Annotated[str, Field(min_length=1, max_length=10)]
    count: Annotated[int, Field(ge=0)] = 0
    ratio: float = 0.0
    owner: UUID | None = None
    at: Timestamp | None = None
    schedule: Cron | Every | None = None
    tags: tuple[str, ...] = ()
    options: JsonValue = None


ADAPTER = TypeAdapter(Thing)
JSON = {"Content-Type": "application/json"}


async def make(body: Thing) -> Thing:
    return body


async def maybe(body: Thing | None) -> None:
    assert body is None


async def without() -> None:
    return None


@pytest.fixture
async def client(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve one POST of each sort."""
    return await serve(
        make_route(make, "POST", "/api/v1/public/things", max_body=262_144),
        make_route(maybe, "POST", "/api/v1/public/maybe"),
        make_route(without, "POST", "/api/v1/public/without"),
        make_route(make, "PUT", "/api/v1/public/large", name="demo.large", max_body=400_000),
    )


async def test_a_good_body_is_taken_and_answered(client: Api) -> None:
    """Types are parsed from JSON, and times come back in UTC with a Z."""
    sent = {"name": "n", "at": "2030-01-31T18:00:00+02:00", "schedule": {"interval": 3}}
    answer = await client("POST", "/api/v1/public/things", json=sent)
    assert answer.status == 200
    assert answer.json["at"] == "2030-01-31T16:00:00Z"
    assert answer.json["schedule"] == {"interval": 3}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "has none"),
        (b"{", "line 1 column 1"),
        (b'{"name": "n",}', "line 1 column 14"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b'{"name": "n", "options": NaN}', "NaN is not JSON"),
        (b'{"name": "n", "options": [-Infinity]}', "-Infinity is not JSON"),
        (b"[" * 100_000, "recursion"),
        (b'{"name": "n", "options": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, "recursion"),
    ],
)
async def test_malformed_json_is_400_and_says_where(client: Api, raw: bytes, said: str) -> None:
    """The problem names the position or the reason, whatever the nesting."""
    answer = await client("POST", "/api/v1/public/things", data=raw, headers=JSON)
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")
    assert said in answer.json["detail"]


async def test_every_fault_is_told_at_once_by_path_and_without_the_value(client: Api) -> None:
    """Unknown fields, wrong types and bounds are named with dots, and no value is echoed."""
    sent = {
        "name": 5,
        "count": -1,
        "ratio": "secret-1",
        "owner": "secret-2",
        "at": "2030-01-31T18:00:00",
        "tags": ["a", 6],
        "schedule": {"cron": 1},
        "surprise": "secret-3",
    }
    answer = await client("POST", "/api/v1/public/things", json=sent)
    assert (answer.status, answer.json["code"]) == (422, "invalid_request")
    faults = answer.faults
    assert faults["name"] == "must be a string"
    assert faults["count"] == "must be at least 0"
    assert faults["ratio"] == "must be a number"
    assert faults["owner"] == "must be a UUID"
    assert faults["at"] == "must carry an offset from UTC, for example Z"
    assert faults["tags.1"] == "must be a string"
    assert faults["schedule.cron"] is not None
    assert faults["surprise"] == "is not a known field"
    assert b"secret" not in answer.body


async def test_a_missing_field_is_named(client: Api) -> None:
    """A missing field is named too."""
    assert (await client("POST", "/api/v1/public/things", json={})).faults == {"name": "is required"}


async def test_a_body_that_is_no_object_is_named_as_a_whole(client: Api) -> None:
    """A list where an object belongs is a fault of `body`."""
    assert (await client("POST", "/api/v1/public/things", json=[])).faults == {"body": "must be an object"}


async def test_nul_in_a_string_is_a_fault_of_its_field(client: Api) -> None:
    """NUL, which Postgres cannot store in text, is refused before it reaches the database."""
    sent = {"name": "n", "options": {"deep": ["x\0y"]}}
    assert (await client("POST", "/api/v1/public/things", json=sent)).faults == {
        "options.deep.0": "must not hold the character NUL"
    }


async def test_a_backslash_before_u0000_is_no_nul(client: Api) -> None:
    """An escaped backslash followed by `u0000` is ordinary text."""
    answer = await client("POST", "/api/v1/public/things", data=b'{"name": "\\\\u0000"}', headers=JSON)
    assert (answer.status, answer.json["name"]) == (200, "\\u0000")


async def test_numbers_are_not_taken_for_strings_nor_strings_for_numbers(client: Api) -> None:
    """Bodies are strict: JSON's types are not converted."""
    faults = (await client("POST", "/api/v1/public/things", json={"name": "n", "count": "1"})).faults
    assert faults == {"count": "must be a whole number"}


async def test_a_number_without_a_fraction_is_whole_however_written(client: Api) -> None:
    """JSON Schema counts 2.0 among the integers, so a generated client may send it; 2.5 is refused."""
    answer = await client("POST", "/api/v1/public/things", data=b'{"name": "n", "count": 2.0}', headers=JSON)
    assert (answer.status, answer.json["count"]) == (200, 2)
    answer = await client("POST", "/api/v1/public/things", json={"name": 1.0, "count": 2.5, "ratio": 3.0})
    assert answer.faults == {"name": "must be a string", "count": "must be a whole number"}


async def test_a_time_past_the_end_of_time_is_a_fault_and_no_crash(client: Api) -> None:
    """An offset that carries a time out of the calendar is refused."""
    sent = {"name": "n", "at": "0001-01-01T00:00:00+14:00"}
    assert "years 1 to 9999" in (await client("POST", "/api/v1/public/things", json=sent)).faults["at"]


async def test_a_body_of_one_megabyte_is_413_naming_the_limit(client: Api) -> None:
    """An announced length past the limit is refused before it is read."""
    answer = await client("POST", "/api/v1/public/things", data=b" " * 1_048_576, headers=JSON)
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    assert "262144 bytes" in answer.json["detail"]


async def test_public_operations_take_little_from_whoever_it_is(serve: Callable[..., Awaitable[Api]]) -> None:
    """Where nobody is known, a body has 16 KiB, or less where the service is set to take less."""
    body = {"name": "n", "options": "x" * 16_384}
    for max_body, allowed in ((262_144, 16_384), (1024, 1024)):
        api = await serve(make_route(make, "POST", "/api/v1/public/things"), max_body=max_body)
        answer = await api("POST", "/api/v1/public/things", json=body)
        assert (answer.status, f" {allowed} bytes" in answer.json["detail"]) == (413, True)


REPEATED = [
    (b'{"name": "a", "name": "b"}', ["name"]),
    (b'{"name": "n", "options": {"a": {"b": 1, "b": 2}, "a": 3}}', ["options.a"]),
    (b'{"name": "n", "options": [0, {"a": {"b": 1, "b": 2}}]}', ["options.1.a.b"]),
    (b'{"name": "n", "n\\u0061me": "m"}', ["name"]),
    (b'{"name" : "n", "name"\n:"n"}', ["name"]),
    (b'{"name": "n", "options": {":x": 1, ":x": 2}}', ["options.:x"]),
    (b'{"name": "n", "options": {"": 1, "": 2}}', ["options."]),
    (b'{"name": "n", "options": {"a": 1, "a": 2, "b": 3, "c": 0, "b": 4, "a": 5}}', ["options.a", "options.b"]),
]


@pytest.mark.parametrize(("raw", "fields"), REPEATED)
async def test_a_name_given_twice_is_refused_by_name(client: Api, raw: bytes, fields: list[str]) -> None:
    """Which of two values counts is nobody's to guess (RFC 8259, 4)."""
    answer = await client("POST", "/api/v1/public/things", data=raw, headers=JSON)
    assert (answer.status, answer.faults) == (422, dict.fromkeys(fields, "is given more than once"))


async def test_a_name_in_two_objects_is_not_given_twice(client: Api) -> None:
    """Objects of a list have names of their own."""
    raw = b'{"name": "\\":name", "options": [{"a": 1}, {"a": {"a": ":"}}, "a", ":", {":": ": "}]}'
    answer = await client("POST", "/api/v1/public/things", data=raw, headers=JSON)
    assert answer.status == 200


@given(
    st.recursive(
        st.text('a":, {}\\\n', max_size=4) | st.integers(),
        lambda inner: st.lists(st.tuples(st.text('a":, ', max_size=2), inner), max_size=4),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_no_document_with_a_repeated_name_passes_the_quick_look(given: Any, escaped: bool) -> None:
    """What the quick look lets through has every name once in each object."""
    repeats = False

    def written(value: Any) -> str:
        nonlocal repeats
        if not isinstance(value, list):
            return json.dumps(value, ensure_ascii=escaped)
        names = [name for name, _ in value]
        repeats = repeats or len(set(names)) < len(names)
        return "{" + ",".join(f"{json.dumps(name)}: {written(inner)}" for name, inner in value) + "}"

    raw = written(given).encode()
    if repeats:
        assert bodies.may_repeat_names(raw)


@pytest.mark.parametrize("cuts", [(1,), (200, 201), (5, 10, 15)])
async def test_a_body_in_several_packets_is_read_whole(client: Api, cuts: tuple[int, ...]) -> None:
    """Over a socket too, chunked."""
    raw = json.dumps({"name": "n", "options": "x" * 200}).encode()
    ends = [0, *cuts, len(raw)]

    async def packets() -> AsyncIterator[bytes]:
        for start, end in itertools.pairwise(ends):
            yield raw[start:end]

    answer = await client("POST", "/api/v1/public/things", data=packets(), headers=JSON)
    assert (answer.status, answer.json["options"]) == (200, "x" * 200)


async def test_a_chunked_body_past_the_limit_is_413(client: Api) -> None:
    """Without an announced length the limit is found while reading."""

    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 8192

    answer = await client("POST", "/api/v1/public/things", data=chunks(), headers=JSON)
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


async def test_a_route_may_have_a_limit_of_its_own(client: Api) -> None:
    """`max_body` of a route has precedence over the server's."""
    padded = json.dumps({"name": "n"}).encode() + b" " * 300_000
    assert (await client("PUT", "/api/v1/public/large", data=padded, headers=JSON)).status == 200


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "application/merge-patch+json", "Application/JSON"]
)
async def test_json_by_any_of_its_names_is_taken(client: Api, media_type: str) -> None:
    """`application/json` and `application/*+json` are JSON."""
    answer = await client("POST", "/api/v1/public/things", data=b'{"name": "n"}', headers={"Content-Type": media_type})
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_another_media_type_is_415(client: Api, headers: dict[str, str]) -> None:
    """Anything but uncompressed JSON in UTF-8 is refused."""
    answer = await client("POST", "/api/v1/public/things", data=b'{"name": "n"}', headers=headers)
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")


async def test_an_optional_body_may_be_absent(client: Api) -> None:
    """`body: Thing | None` is None without a body."""
    assert (await client("POST", "/api/v1/public/maybe")).status == 204


async def test_an_operation_without_a_body_takes_none_or_an_empty_object(client: Api) -> None:
    """A body that an operation would ignore is refused."""
    assert (await client("POST", "/api/v1/public/without")).status == 204
    assert (await client("POST", "/api/v1/public/without", json={})).status == 204
    answer = await client("POST", "/api/v1/public/without", json={"reason": "x"})
    assert answer.faults == {"body": "must be absent: this operation takes no body"}


async def test_a_client_that_waits_for_100_continue_gets_it(client: Api) -> None:
    """`Expect: 100-continue` is answered once the body is read."""
    answer = await client("POST", "/api/v1/public/things", json={"name": "n"}, expect100=True)
    assert answer.status == 200


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_problem(raw: bytes) -> None:
    """No body makes the parser raise anything but a problem of 400 or 422."""
    try:
        assert isinstance(bodies.parse(raw, ADAPTER), Thing)
    except Problem as problem:
        assert problem.status in (400, 422)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.fixed_dictionaries({}, optional=dict.fromkeys((*Thing.model_fields, "surprise", "schedule"), json_values))


@given(fields)
def test_every_fault_names_a_field_that_was_given_or_is_missing(document: dict[str, Any]) -> None:
    """The first part of each path is a key of the document or of the model, never a union's member."""
    try:
        bodies.parse(json.dumps(document).encode(), ADAPTER)
    except Problem as problem:
        for fault in problem.faults:
            assert fault.message
            assert any(
                fault.field == name[:80] or fault.field.startswith(name[:80] + ".")
                for name in (*document, *Thing.model_fields, "body")
            )
