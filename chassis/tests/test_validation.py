"""What pydantic finds, in plain words."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, FilePath, TypeAdapter, ValidationError

from galaxy_chassis.config.settings import Duration
from galaxy_chassis.validation import explain, findings


def found(kind: Any, given: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given)
    return findings(caught.value, given)


def refuse(value: str) -> str:
    raise ValueError("expected another word")


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (int, "many", "must be a whole number"),
        (Annotated[int, Ge(1)], 0, "must be at least 1"),
        (Annotated[Duration, Gt(timedelta(0))], "0s", "must be greater than 0s"),
        (Annotated[Duration, Le(timedelta(days=1, hours=2))], "9d", "must be at most 26h"),
        (Annotated[Duration, Ge(timedelta(milliseconds=100))], "1ms", "must be at least 100ms"),
        (Annotated[timedelta, Le(timedelta(days=1, hours=2))], timedelta(9), "must be at most 1 day and 2 hours"),
        (Annotated[str, Field(max_length=3)], "long", "must have at most 3 characters"),
        (Literal["a", "b"], "c", "must be 'a' or 'b'"),
        (UUID, "x", "must be a UUID"),
        (AwareDatetime, datetime(2030, 1, 1), "must carry an offset from UTC, for example Z"),
        (FilePath, "/no/such/file", "must be a path to a file that exists"),
        (Annotated[str, AfterValidator(refuse)], "x", "expected another word"),
        (complex, "x", "is not valid"),
    ],
)
def test_words(kind: Any, given: Any, words: str) -> None:
    """A finding follows the field's name; bounds are in the units that people write, a validator speaks for itself."""
    assert found(kind, given) == [("", words)]


class Cron(BaseModel):
    cron: str


class Every(BaseModel):
    interval: int


class Thing(BaseModel):
    name: str
    schedules: list[Cron | Every] = []
    numbers: dict[str, int] = {}


def test_fields_are_named_by_their_path_in_what_was_given() -> None:
    """The members of a union are no part of it, and what is missing keeps its name."""
    given = {"schedules": [{"interval": 1}, {"interval": "soon"}], "numbers": {"a": "b"}}
    assert found(Thing, given) == [
        ("name", "is required"),
        ("schedules.1.cron", "is required"),
        ("schedules.1.interval", "must be a whole number"),
        ("numbers.a", "must be a whole number"),
    ]


def test_a_finding_is_told_once() -> None:
    """Two members of a union that miss the same are one fault."""
    assert found(dict[str, int] | dict[str, bool], []) == [("", "must be an object")]


def test_long_names_are_cut() -> None:
    """A caller's own names do not fill an answer."""
    [(path, _)] = found(dict[str, int], {"x" * 1000: "y"})
    assert path == "x" * 80


@given(st.text(min_size=12, max_size=40) | st.integers(10**12) | st.lists(st.uuids(), min_size=1))
def test_what_was_given_is_never_told(value: Any) -> None:
    """A value may be a secret: whatever is wrong with it, no finding holds it."""
    kinds = (bool, timedelta, Literal["a"], Annotated[str, Field(max_length=1)], Annotated[int, Le(1)], Cron, Thing)
    for kind in kinds:
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                assert str(value) not in explain(one)
