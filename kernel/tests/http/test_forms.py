"""Bodies that are forms."""

from typing import Any

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field

from galaxy_chassis.http.problems import Problem
from galaxy_devkit.testing.http import Api, Received, Serve, make_route
from galaxy_kernel.http.forms import MULTIPART, URLENCODED, Form
from galaxy_kernel.http.model import Model

PATH = "/api/v1/public/thing"


class Entry(Model):
    """A form of three fields."""

    given_name: str = Field(alias="Given-Name")
    age: int = 0
    tags: tuple[str, ...] = ()


async def take(form: Entry) -> Entry:
    return form


@pytest.fixture
async def api(serve: Serve) -> Api:
    """Serve one operation that takes a form."""
    return await serve(make_route(take, "POST"))


async def sent(api: Api, raw: bytes, content_type: str = URLENCODED) -> Received:
    return await api("POST", PATH, data=raw, headers={"Content-Type": content_type})


def parts(*fields: tuple[str, str]) -> aiohttp.FormData:
    """Return a form that is sent in parts, as RFC 8058 asks of mail providers."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields:
        form.add_field(name, value)
    return form


EXPECTED = {"Given-Name": "Ada & Bob", "age": 7, "tags": ["a", "b"]}


async def test_an_encoded_form_is_a_model(api: Api) -> None:
    """Fields are found by their aliases, converted, and may be repeated where they are lists."""
    got = await sent(api, b"Given-Name=Ada+%26+Bob&age=7&tags=a&tags=b")
    assert (got.status, got.json) == (200, EXPECTED)


async def test_a_form_in_parts_is_the_same_model(api: Api) -> None:
    """Both encodings of HTML are read alike."""
    fields = parts(("Given-Name", "Ada & Bob"), ("age", "7"), ("tags", "a"), ("tags", "b"))
    got = await api("POST", PATH, data=fields)
    assert (got.status, got.json) == (200, EXPECTED)


@pytest.mark.parametrize("encode", ["encoded", "in parts"])
async def test_every_fault_of_a_form_is_named(api: Api, encode: str) -> None:
    """Missing, repeated, unknown and malformed fields are reported together."""
    fields = [("age", "x"), ("age", "y"), ("colour", "red"), ("tags", "\0")]
    data = parts(*fields) if encode == "in parts" else dict(fields[1:]) | {"age": "x"}
    got = await api("POST", PATH, data=data)
    assert got.status == 422
    assert set(got.faults) == {"Given-Name", "age", "colour", "tags.0"}


async def test_no_body_is_a_form_without_fields(api: Api) -> None:
    """Its missing fields are named; it needs no Content-Type."""
    got = await api("POST", PATH)
    assert (got.status, list(got.faults)) == (422, ["Given-Name"])


async def test_a_file_is_refused(api: Api) -> None:
    """A form here holds text alone."""
    form = aiohttp.FormData()
    form.add_field("Given-Name", b"Ada", filename="name.txt")
    got = await api("POST", PATH, data=form)
    assert (got.status, got.faults) == (422, {"Given-Name": "must be text, not a file"})


BOUNDARY = f"{MULTIPART}; boundary=b"
NAMED = b'--b\r\nContent-Disposition: form-data; name="Given-Name"\r\n\r\n'


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"{}", "application/json", 415, "unsupported_media_type"),
        (b"Given-Name=\xff", URLENCODED, 400, "malformed_form"),
        (b"Given-Name=%FF", URLENCODED, 422, "invalid_request"),
        (b"&".join([b"a=1"] * 201), URLENCODED, 422, "invalid_request"),
        (NAMED + b"Ada", BOUNDARY, 400, "malformed_form"),
        (NAMED + b"Ada\r\n--b--", MULTIPART, 400, "malformed_form"),
        (b"--b\r\n\r\nAda\r\n--b--\r\n", BOUNDARY, 400, "malformed_form"),
        (NAMED + b"\xff\r\n--b--\r\n", BOUNDARY, 422, "invalid_request"),
        ((NAMED + b"Ada\r\n") * 201 + b"--b--\r\n", BOUNDARY, 422, "invalid_request"),
    ],
)
async def test_what_is_no_form_is_refused(api: Api, raw: bytes, content_type: str, status: int, code: str) -> None:
    """Other media types, bytes outside UTF-8, broken parts, and more fields than anybody needs."""
    got = await sent(api, raw, content_type)
    assert (got.status, got.json["code"]) == (status, code)


async def test_a_form_is_limited_as_a_body_is(serve: Serve) -> None:
    """The route's limit holds."""
    api = await serve(make_route(take, "POST", max_body=64))
    assert (await sent(api, b"Given-Name=" + b"x" * 64)).status == 413


@given(raw=st.binary(max_size=300), header=st.sampled_from([URLENCODED, BOUNDARY, MULTIPART, f"{MULTIPART};boundary="]))
@example(raw=b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--", header=BOUNDARY)
@example(raw=b"--b\r\nContent-Disposition: form-data; name*=utf-8''x\r\n\r\n\r\n--b--", header=BOUNDARY)
@example(raw=NAMED[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\n=\r\n--b--", header=BOUNDARY)
def test_any_bytes_are_a_form_or_a_problem(raw: bytes, header: str) -> None:
    """Nothing but a Problem is raised, whatever is sent."""
    found: Any = None
    try:
        found = Form(Entry).parse(raw, header)
    except Problem as problem:
        assert problem.status in (400, 422)
    else:
        assert isinstance(found, Entry)
