"""Cursors: what is one, and what counts as too old."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_gateway.streams.cursor import Cursor, parse


@given(generation=st.text("abcdef0123456789-", min_size=1, max_size=64), number=st.integers(0, 2**63 - 1))
def test_a_cursor_is_read_as_it_was_written(generation: str, number: int) -> None:
    """The last hyphen separates, so a generation may have hyphens of its own."""
    cursor = Cursor(generation, number)
    assert parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "7", "-", "-7", "g-", "g-x", "g- 7", "g-+7", "g-1.5", "g-٧", "é-7", "g" * 127 + "-7"]
)
def test_anything_else_is_too_old(text: str) -> None:
    """Text without generation or number, with other digits or too long is not a cursor."""
    assert parse(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """What a client sends never raises."""
    cursor = parse(text)
    assert cursor is None or cursor.number >= 0
