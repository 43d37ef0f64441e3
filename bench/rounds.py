"""Rounds: ours and the rival in turn, so that what slows the machine slows both; the median of the ratios counts."""

import json
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

Run = Callable[[], Awaitable[float]]
"""Does the work once and gives how much of it was done a second."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What came of a measure."""

    id: str
    measure: str
    unit: str
    ours: float
    """Median over the rounds, in `unit`."""
    rival: float
    ratio: float
    """Median of the ratios of the rounds: more is better."""
    goal: float
    rounds: int


async def compare(name: str, measure: str, unit: str, *, ours: Run, rival: Run, goal: float, rounds: int) -> Figure:
    """Run both in turn, after one round that does not count."""
    await rival()
    await ours()
    pairs = [(await ours(), await rival()) for _ in range(rounds)]
    return Figure(
        id=name,
        measure=measure,
        unit=unit,
        ours=statistics.median(mine for mine, _ in pairs),
        rival=statistics.median(its for _, its in pairs),
        ratio=statistics.median(mine / its for mine, its in pairs),
        goal=goal,
        rounds=rounds,
    )


def show(figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print a table, or JSON for scripts."""
    if as_json:
        sys.stdout.write(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
        return
    for each in figures:
        reached = "reached" if each.ratio >= each.goal else "NOT reached"
        sys.stdout.write(
            f"{each.id}  {each.measure}\n     ours {each.ours:,.0f} {each.unit}, rival {each.rival:,.0f}: "
            f"ratio {each.ratio:.2f} (median of {each.rounds}), goal {each.goal:g} {reached}\n"
        )
