"""The result of a scenario."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

SHOWN = 5
"""Violations of one sort that are listed one by one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One scenario's outcome."""

    id: str
    """The goal's id in the specification."""
    scenario: str
    seed: int
    operations: int
    """Operations, in the scenario's own unit: processes started, mails queued, rows written."""
    kills: Mapping[str, int]
    """Faults injected, by what they hit."""
    lost: int
    """Acknowledged operations without their effect. None is allowed."""
    duplicated: int
    """Effects that happened more than once, for reasons that the specification allows."""
    converged_in: float
    """Seconds from the last fault, or the last operation, until the system had converged."""
    within: float
    """Seconds that this may take."""
    broken: Sequence[str] = ()
    """The invariants that did not hold, each with its evidence."""
    notes: Mapping[str, float] = field(default_factory=dict)
    """Figures that show how hard the test was."""

    @property
    def held(self) -> bool:
        """Whether nothing was lost, all converged in time, and every other invariant held."""
        return not self.lost and not self.broken and self.converged_in <= self.within


def some(sort: str, found: Sequence[object]) -> list[str]:
    """Return the violations of one sort as sentences: how many, and the first of them."""
    if not found:
        return []
    listed = "; ".join(str(each) for each in found[:SHOWN])
    return [f"{len(found)} × {sort}: {listed}{' …' if len(found) > SHOWN else ''}"]


def lines(verdict: Verdict) -> str:
    """Return a verdict for people."""
    kills = " + ".join(f"{number} {what}" for what, number in verdict.kills.items())
    facts = {
        "operations": f"{verdict.operations:,}",
        "kills": kills,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "converged in": f"{verdict.converged_in:.2f} s of {verdict.within:g} s",
        **{name: f"{value:g}" for name, value in verdict.notes.items()},
    }
    head = f"{verdict.id} {verdict.scenario} (seed {verdict.seed}): {'held' if verdict.held else 'NOT HELD'}"
    told = [f"  {name:<22} {value}" for name, value in facts.items()]
    return "\n".join([head, *told, *(f"  broken: {each}" for each in verdict.broken)])


def document(verdicts: Sequence[Verdict]) -> str:
    """Return verdicts as JSON."""
    return json.dumps([asdict(each) | {"held": each.held} for each in verdicts], indent=2)
