"""The dice."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from galaxy_game.dice import Dice


def test_known_throw() -> None:
    """A throw is the first 8 bytes of SHA-256 of `label#n`, so that an engine in another language throws the same."""
    digest = hashlib.sha256(b"seed/7/3#0").digest()
    assert Dice("seed/7/3").below(1000) == int.from_bytes(digest[:8], "big") % 1000


def test_rejection() -> None:
    """A value in the last, incomplete round of the range is passed over."""
    bound = 2**63 + 1  # nearly half of all values are rejected
    dice = Dice("x")
    values = [int.from_bytes(hashlib.sha256(f"x#{n}".encode()).digest()[:8], "big") for n in range(200)]
    assert any(value >= bound for value in values[:50])
    assert [dice.below(bound) for _ in range(50)] == [value for value in values if value < bound][:50]


def test_even() -> None:
    """Every face comes about as often as every other."""
    dice = Dice("even")
    counts = Counter(dice.between(90, 110) for _ in range(21_000))
    assert sorted(counts) == list(range(90, 111))
    assert all(850 < count < 1150 for count in counts.values())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(1, 2**64))
def test_repeats(label: str, bound: int) -> None:
    """The same label throws the same, and within the bound."""
    first = Dice(label).below(bound)
    assert first == Dice(label).below(bound) < bound
