"""The field `Idempotency-Key`."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.http.problems import Problem
from galaxy_gateway.idempotency.keys import LONGEST, parse_key

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=LONGEST)
anything = st.text(st.characters(codec="latin-1"), max_size=300) | st.text(st.sampled_from('"\\ a,;'), max_size=12)


def quoted(key: str) -> str:
    """Return a key as a string of RFC 9651."""
    return '"' + re.sub(r'(["\\])', r"\\\1", key) + '"'


@given(printable)
def test_a_quoted_key_is_what_was_quoted(key: str) -> None:
    """Any printable ASCII may stand in quotes, quotes and backslashes escaped."""
    assert parse_key([quoted(key)]) == key
    assert parse_key([f"  {quoted(key)} "]) == key


@pytest.mark.parametrize("key", ["8e03978e-40d5-43dd-bc93-6894a57f9324", "a", "A1b2+/=_.:~", "x" * LONGEST])
def test_a_bare_key_is_the_same_as_a_quoted_one(key: str) -> None:
    """A client that learns to quote does not run its call twice."""
    assert parse_key([key]) == parse_key([quoted(key)]) == key


def test_without_the_field_there_is_no_key() -> None:
    """No line is not an empty line."""
    assert parse_key([]) is None


@pytest.mark.parametrize(
    "values",
    [
        *(
            [""],
            [" "],
            ['""'],
            ["a b"],
            ['"a'],
            ['a"'],
            ['"a"b"'],
            ['"a\\b"'],
            ['"a\\"'],
            ["a\\b"],
            ["a,b"],
            ['"a", "b"'],
        ),
        *(['"a";x=1'], ["a;x"], ["a\tb"], ['"a\tb"'], ["\u00e9"], ['"\u00e9"'], ["a\x7f"], ["a\n"], ["\udcff"]),
        *(["x" * (LONGEST + 1)], ['"' + "x" * (LONGEST + 1) + '"'], ["x" * 100_000], ["a", "a"]),
    ],
)
def test_anything_else_is_refused_by_name(values: list[str]) -> None:
    """400 with a code of its own, and the name of the field."""
    with pytest.raises(Problem) as caught:
        parse_key(values)
    problem = caught.value
    assert (problem.status, problem.code) == (400, "invalid_idempotency_key")
    assert [fault.field for fault in problem.faults] == ["Idempotency-Key"]
    assert problem.detail.startswith("Idempotency-Key: must be ")


@given(anything)
def test_whatever_comes_is_a_printable_key_or_refused(value: str) -> None:
    """Nothing else gets through, whatever the field holds."""
    try:
        key = parse_key([value])
    except Problem:
        return
    assert key is not None
    assert 1 <= len(key) <= LONGEST
    assert key.isascii()
    assert key.isprintable()
