"""How long to wait after failures in a row: exponential back-off with a bound and jitter."""

from dataclasses import dataclass
from random import Random

_MOST_DOUBLINGS = 1023
"""The largest power of two that a float holds."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double with each failure in a row, up to a bound, and are shortened at random.

    Jitter keeps those that failed together from coming back together. With 0.5 a delay is drawn from the upper half
    below its bound ("equal jitter"), with 1.0 from all of it ("full jitter"): see "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015.
    """

    first: float
    """Seconds: the bound after the first failure."""
    longest: float
    """Seconds: the bound that no delay exceeds."""
    jitter: float = 0.5
    """The share of each delay that is left to chance: from 0, none of it, to 1, all of it."""

    def __post_init__(self) -> None:
        if not 0.0 < self.first <= self.longest < float("inf"):
            raise ValueError(f"back-off from {self.first:g} s to {self.longest:g} s: expected 0 < first <= longest")
        if not 0.0 <= self.jitter <= 1.0:
            raise ValueError(f"jitter {self.jitter:g}: expected a share from 0 to 1")

    def bound(self, failures: int) -> float:
        """Return the longest delay in seconds after so many failures in a row, 0 after none: it has no jitter."""
        if failures < 1:
            return 0.0
        return min(self.longest, self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))

    def delay(self, failures: int, random: Random) -> float:
        """Draw the seconds to wait after so many failures in a row: between `(1 - jitter) * bound` and `bound`."""
        return self.bound(failures) * random.uniform(1.0 - self.jitter, 1.0)
