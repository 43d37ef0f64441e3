"""At which calls to Docker S-10 kills: each kind that changes something, on each side of the call, equally often."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from galaxy_engine.testing.docker_proxy import STAGES, Stage

PULL = "POST images/create"
CREATE_NETWORK = "POST networks/create"
NETWORKS = (CREATE_NETWORK, "DELETE networks/{id}")
"""Made where there is no network of the backend's: for the network, and for the probe that shows a free subnet."""
CONTAINERS = (
    "POST containers/create",
    "POST containers/{id}/start",
    "POST containers/{id}/stop",
    "DELETE containers/{id}",
)
CHANGING = (*CONTAINERS, *NETWORKS, PULL)
READING = ("GET containers/json", "GET containers/{id}/json", "GET networks", "GET images/{id}/json")
_UNCHANGING = ("POST containers/{id}/wait",)
"""Calls that change nothing, whatever their method."""
_READING_OF = 10
"""One kill in so many is at a call that only reads."""
_MOST = {CREATE_NETWORK: 2, "GET containers/json": 4}
"""Calls of a kind of which one is drawn: the probe and the network, listings in the midst of an operation."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A kill at a call to the daemon."""

    kind: str
    stage: Stage
    occurrence: int = 1
    """The how-manieth call of the kind it is."""

    def __str__(self) -> str:
        return f"{self.stage} {self.kind}"


def draw(source: random.Random, kills: int, changing: Sequence[str] = CHANGING) -> list[Strike]:
    """Return the kills of a run in their order; how often two kinds and stages are struck differs by one at most.

    Those for which the network is missing come first: it can be removed only while no engine is on it.
    """
    reading = _dealt(source, READING, kills // _READING_OF)
    strikes = [*_dealt(source, changing, kills - len(reading)), *reading]
    source.shuffle(strikes)
    return sorted(strikes, key=lambda strike: strike.kind not in NETWORKS)


def draw_few(source: random.Random) -> list[Strike]:
    """Return one kill for each stage, at calls about containers of different kinds."""
    kinds = source.sample(CONTAINERS, len(STAGES))
    return [Strike(kind, stage) for kind, stage in zip(kinds, STAGES, strict=True)]


def never_struck(struck: Counter[str], changing: Sequence[str] = CHANGING) -> list[str]:
    """Return the kinds of calls that change something, with the stage, at which no kill happened."""
    return [f"{stage} {kind}" for kind, stage in product(changing, STAGES) if not struck[f"{stage} {kind}"]]


def unknown(calls: Iterable[str]) -> list[str]:
    """Return the kinds of calls that change something and are never drawn."""
    known = {*CHANGING, *_UNCHANGING}
    return sorted(call for call in calls if not call.startswith(("GET ", "HEAD ")) and call not in known)


def _dealt(source: random.Random, kinds: Sequence[str], number: int) -> list[Strike]:
    """Return so many of all kinds and stages, each again only when all others have been."""
    all_of_them, drawn = list(product(kinds, STAGES)), list[tuple[str, Stage]]()
    while len(drawn) < number:
        source.shuffle(all_of_them)
        drawn += all_of_them
    return [Strike(kind, stage, source.randint(1, _MOST.get(kind, 1))) for kind, stage in drawn[:number]]
