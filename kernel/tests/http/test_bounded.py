"""The work for a refusal is bounded by a constant (SPEC K-13)."""

import itertools
import json
import string
from typing import Annotated, Any
from unittest import mock

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from galaxy_chassis.http.problems import Problem
from galaxy_kernel.http import body as bodies
from galaxy_kernel.http.bounded import MOST_RENDERED, SMALL, Bounded, bounded
from galaxy_kernel.http.faults import MOST_FAULTS
from galaxy_kernel.http.model import Model


class Cron(Model):
    cron: str


class Every(Model):
    interval: int


class Thing(Model):
    name: Annotated[str, Field(min_length=1, max_length=10)]
    schedule: Cron | Every | None = None
    tags: tuple[str, ...] = ()
    numbers: list[int] = Field(default_factory=list)
    many: list[Cron | Every] = Field(default_factory=list)
    counts: dict[str, int] = Field(default_factory=dict)
    things: list["Thing"] = Field(default_factory=list)
    options: JsonValue = None


ADAPTER = TypeAdapter(Thing)
LARGEST = 262_144
LETTERS = string.ascii_letters + string.digits
NAMES = ["".join(each) for length in (1, 2, 3) for each in itertools.product(LETTERS, repeat=length)][:30_000]
NESTED = '{"name":"n","things":[' * 60


def named(values: str) -> str:
    return ",".join(f'"{name}":{values}' for name in NAMES)


WORST = {
    "unknown names": "{" + named("1") + "}",
    "unknown names deep inside": NESTED + "{" + named("1") + "}" + "]}" * 60,
    "unknown names in many objects": '{"name":"n","many":[' + ",".join(['{"a":1}'] * 32_000) + "]}",
    "a tuple of wrong types": '{"name":"n","tags":[' + ",".join(["1"] * 130_000) + "]}",
    "a list of fractions": '{"name":"n","numbers":[' + ",".join(["1.5"] * 65_000) + "]}",
    "whole numbers and a fraction": '{"name":"n","numbers":[' + ",".join([*["1.0"] * 65_000, "1.5"]) + "]}",
    "a list of no members of a union": '{"name":"n","many":[' + ",".join(["1"] * 130_000) + "]}",
    "a list of empty objects": '{"name":"n","many":[' + ",".join(["{}"] * 87_000) + "]}",
    "an object of wrong values": '{"name":"n","counts":{' + named('""') + "}}",
    "NUL at the end of a long list": '{"name":"n","options":[' + "1," * 130_000 + '"\\u0000"]}',
    "NUL in every string": '{"name":"n","options":[' + ",".join(['"\\u0000"'] * 29_000) + "]}",
    "one name all over": "{" + ",".join(['"name":"n"'] * 23_000) + "}",
    "every name twice": '{"name":"n","options":{' + named("1")[:130_000].rpartition(",")[0] + ","
    + named("1")[:130_000].rpartition(",")[0] + "}}",
}  # fmt: skip


@pytest.mark.parametrize("document", WORST.values(), ids=WORST.keys())
def test_the_worst_bodies_are_refused_with_few_faults_made_readable(document: str) -> None:
    """However many faults a body has, few of them are rendered; the answer names some, and not more than it may."""
    raw = document.encode()
    assert len(raw) <= LARGEST * 1.03
    rendered = 0
    original = ValidationError.errors

    class Counting:
        """pydantic's error, with a count of what is rendered of it."""

        def __init__(self, error: ValidationError) -> None:
            self._error = error

        def errors(self, **options: Any) -> list[pydantic_core.ErrorDetails]:
            nonlocal rendered
            rendered += self._error.error_count()
            return original(self._error, **options)

        def error_count(self) -> int:
            return self._error.error_count()

    with (
        mock.patch.object(bodies, "field_errors", lambda error, *a, **k: FIELD_ERRORS(Counting(error), *a, **k)),
        pytest.raises(Problem) as refused,
    ):
        bodies.parse(raw, ADAPTER)
    assert refused.value.status == 422
    assert 1 <= len(refused.value.faults) <= MOST_FAULTS
    assert all(fault.field for fault in refused.value.faults)
    assert rendered <= MOST_RENDERED * 2


FIELD_ERRORS = bodies.field_errors


def test_unknown_names_of_a_large_body_are_named() -> None:
    """Fifty of thirty thousand, each a name that was sent."""
    with pytest.raises(Problem) as refused:
        bodies.parse(WORST["unknown names"].encode(), ADAPTER)
    assert len(refused.value.faults) == MOST_FAULTS
    assert {fault.field for fault in refused.value.faults} <= {*NAMES, "name"}


def test_a_list_is_left_at_its_first_fault_in_a_large_body_and_read_through_in_a_small_one() -> None:
    """Bodies that people write are told everything that is wrong with them."""
    small, large = b'{"name":"n","tags":["a",1,2,3]}', b'{"name":"n","tags":["a",' + b"1," * SMALL + b"1]}"
    for raw, fields in ((small, ["tags.1", "tags.2", "tags.3"]), (large, ["tags.1"])):
        with pytest.raises(Problem) as refused:
            bodies.parse(raw, ADAPTER)
        assert [fault.field for fault in refused.value.faults] == fields


def test_whole_numbers_written_as_fractions_are_taken_in_any_number() -> None:
    """`2.0` is a whole number in a body of any size (JSON Schema, 6.1.1)."""
    for count in (3, 400, 20_000):
        value = bodies.parse(json.dumps({"name": "n", "numbers": [2.0] * count}).encode(), ADAPTER)
        assert value.numbers == [2] * count


class Careful(Model):
    """A model with rules that a cut copy of a value would break."""

    size: int
    parts: Annotated[dict[str, int], Field(min_length=400)]

    @model_validator(mode="after")
    def _counted(self) -> "Careful":
        if self.size != len(self.parts):
            raise ValueError("size must be the number of parts")
        return self


def test_a_large_value_is_not_refused_for_what_only_its_cut_copy_lacks() -> None:
    """What depends on the whole is judged on the whole."""
    parts = dict.fromkeys(NAMES[:2000], 1)
    assert bodies.parse(json.dumps({"size": 2000, "parts": parts}).encode(), TypeAdapter(Careful)).size == 2000
    with pytest.raises(Problem) as refused:
        bodies.parse(json.dumps({"size": 1999, "parts": parts}).encode(), TypeAdapter(Careful))
    assert [fault.message for fault in refused.value.faults] == ["size must be the number of parts"]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-3, 3) | st.text("ab", max_size=2) | st.just(1.5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Thing.model_fields, "cron", "interval", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*Thing.model_fields, "x"]), VALUES), st.sampled_from([0, SMALL, 12_000]))
def test_a_value_is_accepted_as_pydantic_accepts_it(value: dict[str, Any], padding: int) -> None:
    """Bounds change how many faults are found, and never whether there are any."""
    raw = json.dumps(value).encode() + b" " * padding
    expected: Any = None
    try:
        expected = ADAPTER.validate_json(raw, strict=True)
    except ValidationError as error:
        with pytest.raises(ValidationError) as refused:
            Bounded(ADAPTER).validate(raw)
        assert 1 <= refused.value.error_count() <= error.error_count()
    else:
        assert bounded(ADAPTER).validate(raw) == expected
