"""From what is wrong with a request to the problem that its caller reads."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_kernel.http.body import parse
from galaxy_kernel.http.faults import MOST_FAULTS, invalid_request, nul_faults
from galaxy_kernel.http.model import Model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Ship(Model):
    """One of two kinds."""

    kind: Literal["ship"]
    speed: Annotated[int, Field(ge=1)]


class Base(Model):
    """The other kind."""

    kind: Literal["base"]
    guns: list[int]


class Fleet(Model):
    """What is sent."""

    name: str
    units: list[Annotated[Ship | Base, Field(discriminator="kind")]]


def faults(raw: bytes, kind: Any = Fleet) -> list[FieldError]:
    """Return what a body's sender is told."""
    with pytest.raises(Problem) as caught:
        parse(raw, TypeAdapter(kind))
    assert (caught.value.status, caught.value.code) == (422, "invalid_request")
    return list(caught.value.faults)


def fields(raw: bytes, kind: Any = Fleet) -> list[str]:
    return [fault.field for fault in faults(raw, kind)]


def test_fields_are_named_as_they_were_sent() -> None:
    """By their path, without the names of a union's members; a missing field by its own name."""
    body = b'{"units": [{"kind": "ship", "speed": 0}, {"kind": "base", "guns": [1, "x"]}], "more": 1}'
    assert sorted(fields(body)) == ["more", "name", "units.0.speed", "units.1.guns.1"]


def test_a_fault_of_no_field_is_said_of_the_body() -> None:
    """A document of another shape has no field to name."""
    assert fields(b"[]") == ["body"]
    assert fields(b"7") == ["body"]


def test_no_value_is_repeated() -> None:
    """What was sent may be a secret, and goes into logs."""
    told = str(faults(b'{"name": 7, "units": [{"kind": "hunter2"}, {"kind": "ship", "speed": "hunter3"}]}'))
    assert "hunter" not in told


def test_one_answer_has_so_many_faults_and_no_more() -> None:
    """A hostile body does not make a large answer."""
    assert len(faults(b'{"name": "n", "units": [%s 1]}' % (b"1," * 200))) == MOST_FAULTS
    assert len(nul_faults(["\0"] * 200, "body")) == MOST_FAULTS


def test_long_names_are_cut() -> None:
    """They are the sender's own."""
    long = "x" * 10_000
    assert all(len(field) < 200 for field in fields(b'{"name": "n", "units": [], "%s": 1}' % long.encode()))
    assert all(len(fault.field) < 200 for fault in nul_faults({long: "\0"}, "body"))


def test_the_detail_names_the_first_fault_and_how_many_there_are() -> None:
    """A person reads that line; programs read the list."""
    one, two = FieldError("a", "is required"), FieldError("b", "is required")
    assert invalid_request([one]).detail == "a: is required"
    problem = invalid_request([one, two])
    assert problem.detail.startswith("a: is required")
    assert "2" in problem.detail
    assert problem.faults == (one, two)


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        ("plain", []),
        ("a\0b", ["body"]),
        ({"a": {"b": ["ok", "\0"]}}, ["a.b.1"]),
        ({"a\0": 1, "b": "\0"}, ["a", "b"]),
        ([["\0"], 7, None, {"x": True}], ["0.0"]),
    ],
)
def test_the_character_nul_is_found_wherever_it_is(given_: Any, found: list[str]) -> None:
    """Postgres stores it in neither text nor jsonb, so it would fail only there."""
    assert [fault.field for fault in nul_faults(given_, "body")] == found


@given(JSON)
def test_any_document_without_nul_has_no_such_fault(document: Any) -> None:
    """And one with it has, whatever its shape; no name that is shown holds it."""
    text = repr(document)
    found = nul_faults(document, "body")
    assert bool(found) == ("\\x00" in text)
    assert all("\0" not in fault.field for fault in found)
