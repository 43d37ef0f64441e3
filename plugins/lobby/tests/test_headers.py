"""Keys, revisions and tags of requests."""

import pytest

from galaxy_chassis.http.problems import Problem
from galaxy_lobby.headers import expected_revision, idempotency_key


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        (' "a b" ', "a b"),
        ('"a\\"b\\\\"', 'a"b\\'),
        ('a"b', 'a"b'),
        ("k" * 255, "k" * 255),
    ],
)
def test_keys_are_quoted_or_bare(given: str, key: str) -> None:
    """Both spellings are one key."""
    assert idempotency_key({"Idempotency-Key": given}) == key


@pytest.mark.parametrize("given", ["", " ", '""', "k" * 256, "a\x7fb", "é"])
def test_what_is_not_a_key(given: str) -> None:
    """It is named as a field."""
    with pytest.raises(Problem) as caught:
        idempotency_key({"Idempotency-Key": given})
    assert [fault.field for fault in caught.value.faults] == ["Idempotency-Key"]


def test_without_headers() -> None:
    """A request needs neither."""
    assert idempotency_key({}) is None
    assert expected_revision({}) is None


@pytest.mark.parametrize(("given", "revision"), [('"3"', 3), ('W/"3"', 3), ("3", 3), ('"0"', 0), ("*", None)])
def test_revisions(given: str, revision: int | None) -> None:
    """The tag of the orders, as it was given or bare."""
    assert expected_revision({"If-Match": given}) == revision


@pytest.mark.parametrize("given", ["", "abc", '"1", "2"', "-1", '"9999999999"'])
def test_what_is_not_a_revision(given: str) -> None:
    """A condition that cannot be read is refused: passing over it could lose orders."""
    with pytest.raises(Problem):
        expected_revision({"If-Match": given})
