"""What happens in a turn, as reports tell it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Built:
    """A planet built ships."""

    planet: int
    owner: int
    ships: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A fleet arrived at a planet of its owner."""

    planet: int
    owner: int
    ships: int


@dataclass(frozen=True, slots=True)
class Battle:
    """Fleets met at a planet. `sides` is owner → ships, the planet's holder included even without ships."""

    planet: int
    holder: int
    sides: Mapping[int, int]
    winner: int
    """Who holds the planet afterwards."""
    remain: int


@dataclass(frozen=True, slots=True)
class Fell:
    """A seat lost its last planet and fleet."""

    seat: int


Event = Built | Joined | Battle | Fell
