"""The position of a game, and its form in a snapshot. Nothing else survives a restart."""

import hashlib
import json
from dataclasses import astuple, dataclass, field
from math import isqrt
from typing import Any

FORMAT = 1
"""The number of the snapshot's form; a change that old snapshots do not survive raises it."""
NOBODY = 0
"""The owner of planets that nobody holds."""
SPEED = 5
"""How far a fleet flies in a turn."""


@dataclass(slots=True)
class Planet:
    """A planet as it really is."""

    number: int
    name: str
    x: int
    y: int
    industry: int
    ships: int
    owner: int


@dataclass(slots=True)
class Fleet:
    """Ships under way. `left` and `arrives` are turn numbers."""

    owner: int
    origin: int
    target: int
    ships: int
    left: int
    arrives: int


@dataclass(slots=True)
class Sighting:
    """What a seat last saw of a planet, and on which turn."""

    turn: int
    owner: int
    ships: int


@dataclass(slots=True)
class Seat:
    """A player, with what the player knows."""

    number: int
    name: str
    bold: bool
    """How the machine player plays this seat."""
    vacant: int = 0
    """For how many turns in a row nobody has been at this seat."""
    out: int | None = None
    """The turn on which it lost its last planet and fleet."""
    seen: dict[int, Sighting] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """The player's own names for planets; nobody else sees them."""


@dataclass(slots=True)
class Result:
    """How a game ended: groups of equal seats, the best first."""

    ranking: list[list[int]]
    text: str


@dataclass(slots=True)
class Game:
    """A position."""

    turn: int
    limit: int
    """The last turn."""
    fog: bool
    planets: dict[int, Planet]
    fleets: list[Fleet]
    seats: dict[int, Seat]
    result: Result | None = None

    def owned(self, seat: int) -> list[Planet]:
        """Return the planets that the seat holds."""
        return [planet for planet in self.planets.values() if planet.owner == seat]

    def living(self) -> list[Seat]:
        """Return the seats that are still in the game."""
        return [seat for seat in self.seats.values() if seat.out is None]

    def industry(self, seat: int) -> int:
        """Return how much industry the seat really holds."""
        return sum(planet.industry for planet in self.owned(seat))

    def turns_between(self, origin: int, target: int) -> int:
        """Return how long a fleet flies: the distance rounded down, 5 a turn, at least one turn."""
        here, there = self.planets[origin], self.planets[target]
        distance = isqrt((here.x - there.x) ** 2 + (here.y - there.y) ** 2)
        return max(1, -(-distance // SPEED))


def canonical(value: object) -> bytes:
    """Return the one form in which a value is written: sorted members, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def dump(game: Game) -> dict[str, Any]:
    """Return the snapshot of a position."""
    content = {
        "turn": game.turn,
        "limit": game.limit,
        "fog": game.fog,
        "planets": [astuple(planet) for planet in game.planets.values()],
        "fleets": [astuple(fleet) for fleet in game.fleets],
        "seats": [
            {
                "seat": [seat.number, seat.name, seat.bold, seat.vacant, seat.out],
                "seen": [[number, *astuple(sighting)] for number, sighting in sorted(seat.seen.items())],
                "names": sorted(seat.names.items()),
            }
            for seat in game.seats.values()
        ],
        "result": astuple(game.result) if game.result else None,
    }
    return {"format": FORMAT, "game": content, "digest": _digest(content)}


def load(state: object) -> Game:
    """Return the position of a snapshot. Raise `ValueError` for anything that `dump` did not write."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"this is not a snapshot of format {FORMAT}")
    content = state.get("game")
    if state.get("digest") != _digest(content) or not isinstance(content, dict):
        raise ValueError("the snapshot was changed after it was written")
    seats = [_seat(row) for row in content["seats"]]
    return Game(
        content["turn"],
        content["limit"],
        content["fog"],
        {row[0]: Planet(*row) for row in content["planets"]},
        [Fleet(*row) for row in content["fleets"]],
        {seat.number: seat for seat in seats},
        Result(*content["result"]) if content["result"] else None,
    )


def _seat(row: dict[str, Any]) -> Seat:
    seat = Seat(*row["seat"])
    seat.seen = {number: Sighting(*sighting) for number, *sighting in row["seen"]}
    seat.names = dict(row["names"])
    return seat


def _digest(content: object) -> str:
    # Hosts keep snapshots for months; a damaged one is better refused than played.
    return hashlib.sha256(canonical(content)).hexdigest()
