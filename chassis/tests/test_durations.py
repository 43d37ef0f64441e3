"""Lengths of time as operators write them."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.durations import format_duration, parse_duration


@given(st.integers(1, 10**9).map(lambda milliseconds: timedelta(milliseconds=milliseconds)))
def test_durations_read_as_they_are_written(value: timedelta) -> None:
    """What `backend config` prints can be given back."""
    assert parse_duration(format_duration(value)) == value


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_clear_fault(text: str) -> None:
    """No text crashes the parser."""
    try:
        assert isinstance(parse_duration(text), timedelta)
    except ValueError as error:
        assert "expected a duration" in str(error)
