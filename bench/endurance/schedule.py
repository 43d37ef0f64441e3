"""When faults happen: drawn from a seed and counted in operations, so that a run can be repeated on any machine."""

import random
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to inject."""

    at: int
    """Number of the operation at which it is due, from 1."""
    kind: str


def draw(source: random.Random, operations: int, **kinds: int) -> list[Fault]:
    """Spread so many faults of each kind over the operations, at most one at each; return them in order."""
    names = [kind for kind, number in kinds.items() for _ in range(number)]
    source.shuffle(names)
    places = sorted(source.sample(range(1, operations + 1), len(names)))
    return [Fault(at, kind) for at, kind in zip(places, names, strict=True)]


class Schedule:
    """Counts operations, and returns faults that are due. While one is in progress, those due wait."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        self.operations = 0
        self.done = 0
        self.in_hand: Fault | None = None

    def count(self) -> Fault | None:
        """Count an operation; return the fault to inject now."""
        self.operations += 1
        if self.in_hand is not None or self.over or self.faults[self.done].at > self.operations:
            return None
        self.in_hand = self.faults[self.done]
        return self.in_hand

    def mended(self) -> None:
        """Note that the system works again."""
        self.in_hand = None
        self.done += 1

    @property
    def over(self) -> bool:
        """Whether every fault has been injected and repaired."""
        return self.done == len(self.faults)
