"""Where two answers differ is said by its path."""

import pytest

from galaxy_engine.kit.differences import first_difference


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (b'{"a":{"b":[1,2]}}', b'{"a":{"b":[1,3]}}', "$.a.b[1] is 2 in one, 3 in the other"),
        (b'{"a":1}', b'{"a":1,"b":2}', "$.b is in only one of them"),
        (b"[1,2]", b"[1]", "$ has 2 items in one, 1 in the other"),
        (b"[1]", b"[true]", "$[0] is 1 in one, true in the other"),
        (b"[1]", b"[1.0]", "$[0] is 1 in one, 1.0 in the other"),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', "same value, other bytes: at byte 2"),
        (b'{"a":1}', b'{"a": 1}', "same value, other bytes: at byte 5"),
        (b"<a>", b"<b>", "at byte 1 '<a>' in one, '<b>' in the other"),
    ],
)
def test_first_difference(one: bytes, other: bytes, said: str) -> None:
    """The first difference is named; one of bytes alone is told apart from one of value."""
    assert first_difference(one, other).startswith(said)
