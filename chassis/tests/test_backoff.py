"""Delays after failures in a row."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.backoff import Backoff

seconds = st.floats(1e-3, 1e6)
shares = st.floats(0.0, 1.0)
failures = st.integers(1, 10**9) | st.integers(1, 64) | st.integers(1020, 1030)


class Drawn(random.Random):
    """Always draws the same number."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self.number = number

    def random(self) -> float:
        return self.number


@st.composite
def backoffs(draw: st.DrawFn) -> Backoff:
    first, longest = sorted((draw(seconds), draw(seconds)))
    return Backoff(first, longest, jitter=draw(shares))


@given(backoffs(), failures)
def test_the_bound_doubles_up_to_the_longest(backoff: Backoff, number: int) -> None:
    """The first bound is `first`, each is twice the one before or `longest`, and no number of failures overflows."""
    assert backoff.bound(1) == backoff.first
    assert backoff.bound(number + 1) == min(backoff.longest, 2 * backoff.bound(number))
    assert backoff.first <= backoff.bound(number) <= backoff.longest


@given(backoffs(), failures, st.integers())
def test_a_delay_is_within_its_bounds(backoff: Backoff, number: int, seed: int) -> None:
    """Whatever is drawn, a delay is no longer than its bound, and no more shorter than the jitter allows."""
    bound = backoff.bound(number)
    assert (1.0 - backoff.jitter) * bound <= backoff.delay(number, random.Random(seed)) <= bound


@given(backoffs(), failures)
def test_the_bounds_of_jitter_are_exact(backoff: Backoff, number: int) -> None:
    """The least draw gives the shortest delay that jitter allows, and the greatest one the bound itself."""
    bound = backoff.bound(number)
    assert backoff.delay(number, Drawn(0.0)) == (1.0 - backoff.jitter) * bound
    longest = backoff.delay(number, Drawn(math.nextafter(1.0, 0.0)))
    assert longest <= bound
    assert math.isclose(longest, bound, rel_tol=1e-12)


@given(st.floats(1e-3, 1e6), failures, st.integers())
def test_without_jitter_a_delay_is_its_bound(first: float, number: int, seed: int) -> None:
    """Nothing is left to chance."""
    backoff = Backoff(first, 1e6, jitter=0.0)
    assert backoff.delay(number, random.Random(seed)) == backoff.bound(number)


def test_jitter_spreads_delays_evenly() -> None:
    """Full jitter draws from all of the bound, equal jitter from its upper half."""
    source = random.Random(1)
    full = [Backoff(100.0, 400.0, jitter=1.0).delay(3, source) for _ in range(2000)]
    assert min(full) < 10 and max(full) > 390 and 180 < sum(full) / len(full) < 220
    equal = [Backoff(100.0, 400.0).delay(3, source) for _ in range(2000)]
    assert min(equal) < 210 and max(equal) > 390 and 280 < sum(equal) / len(equal) < 320


def test_no_failure_is_no_delay() -> None:
    """Who has not failed does not wait."""
    assert Backoff(1.0, 10.0).delay(0, random.Random(1)) == 0.0


@pytest.mark.parametrize("given", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_impossible_bounds_are_refused(given: tuple[float, float]) -> None:
    """A back-off of nothing, backwards or without end is a mistake of its author."""
    with pytest.raises(ValueError, match="expected 0 < first <= longest"):
        Backoff(*given)


@pytest.mark.parametrize("jitter", [-0.1, 1.1, math.nan])
def test_impossible_jitter_is_refused(jitter: float) -> None:
    """Jitter is a share of the delay."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        Backoff(1.0, 2.0, jitter=jitter)
