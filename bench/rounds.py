"""Rounds: the sides alternate, so that other load slows all alike; the result is the median of the rounds' ratios."""

import json
import os
import platform
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

Values = dict[str, float]
"""The result of one run of a side: figures by name, in the measure's unit."""
Run = Callable[[], Awaitable[Values]]
"""Prepares and does the work once, the timed part in a fresh process."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    id: str
    """The goal's id in the specification; `-` for measures of our own."""
    measure: str
    unit: str
    ours: float | None = None
    """Median over the rounds, in `unit`; None when it was not measured."""
    against: str = ""
    rival: float | None = None
    ratio: float | None = None
    """Median of the rounds' ratios, ours to the rival's: more is better."""
    goal: float | None = None
    """Least ratio; without a rival, the most that `ours` may be."""
    rounds: int = 0
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or where it was not measured."""
        if self.goal is None or self.ours is None:
            return None
        return self.ours <= self.goal if self.ratio is None else self.ratio >= self.goal


@dataclass(frozen=True, slots=True)
class Rounds:
    """The results of every side in every round."""

    sides: Mapping[str, Sequence[Values]]

    def median(self, side: str, name: str) -> float:
        """Return a side's median figure."""
        return statistics.median(values[name] for values in self.sides[side])

    def figure(
        self,
        goal_id: str,
        measure: str,
        unit: str,
        name: str,
        *,
        ours: str = "ours",
        against: str = "",
        named: str = "",
        rival_name: str = "",
        goal: float | None = None,
        note: str = "",
    ) -> Figure:
        """Make a line of the figures called `name`; `rival_name` where the rival's is called otherwise.

        `named` is shown in the table for the side that `against` names.
        """
        mine = self.sides[ours]
        value = self.median(ours, name)
        if not against:
            return Figure(goal_id, measure, unit, value, goal=goal, rounds=len(mine), note=note)
        theirs = rival_name or name
        ratios = [a[name] / b[theirs] for a, b in zip(mine, self.sides[against], strict=True)]
        rival, ratio = self.median(against, theirs), statistics.median(ratios)
        return Figure(goal_id, measure, unit, value, named or against, rival, ratio, goal, len(mine), note)


class Measure(Protocol):
    """The function `measure` of each module of a measure."""

    async def __call__(self, *, quick: bool) -> list[Figure]:
        """Run the measure, a smaller one when `quick`."""


async def interleave(rounds: int, **sides: Run) -> Rounds:
    """Run the sides in turn, `rounds` times, every second round in the reverse order."""
    taken: dict[str, list[Values]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides) if number % 2 == 0 else reversed(sides):
            taken[name].append(await sides[name]())
    return Rounds(taken)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table."""
    header = ("id", "measure", "ours", "unit", "against", "rival", "ratio", "goal", "")
    rows = [header, *(_cells(each) for each in figures)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = {f"{each.id} {each.note}": None for each in figures if each.note}
    return "\n".join([*lines, *notes])


def document(figures: Sequence[Figure], load_before: float) -> str:
    """Return the figures as JSON, with the machine they were taken on."""
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }
    listed = [asdict(each) | {"reached": each.reached} for each in figures]
    return json.dumps({"machine": machine, "figures": listed}, indent=2)


def _cells(each: Figure) -> tuple[str, ...]:
    verdict = {True: "reached", False: "NOT reached", None: ""}[each.reached]
    if each.ours is None:
        verdict = "not measured"
    asked = "" if each.goal is None else f"{'>=' if each.against else '<='} {each.goal:g}"
    numbers = (_number(each.ours), each.unit, each.against, _number(each.rival), _number(each.ratio), asked)
    return each.id, each.measure, *numbers, verdict


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
