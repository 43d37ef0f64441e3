"""What a seat knows: planets near its own exactly, others as last seen, fleets near its own by owner and rough size."""

from collections.abc import Sequence
from dataclasses import dataclass

from galaxy_game.events import Battle
from galaxy_game.map import SIGHT
from galaxy_game.model import Fleet, Game, Planet, Sighting


@dataclass(frozen=True, slots=True)
class Known:
    """A planet as a seat knows it."""

    number: int
    name: str
    x: int
    y: int
    industry: int
    owner: int
    ships: int
    seen: int
    """The turn on which it was last seen."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A foreign fleet that was seen."""

    owner: int
    about: int
    """Its size, roughly."""
    x: int
    y: int
    near: int
    """The seat's planet that is nearest to it."""
    approaching: bool


@dataclass(frozen=True, slots=True)
class View:
    """All that a seat knows of a position. Reports, options, forecasts and suggestions read this and nothing else."""

    seat: int
    turn: int
    planets: dict[int, Known]
    fleets: list[Fleet]
    strangers: list[Stranger]

    def own(self) -> list[Known]:
        """Return the seat's planets."""
        return [planet for planet in self.planets.values() if planet.owner == self.seat and planet.seen == self.turn]

    def sees(self, planet: int) -> bool:
        """Whether the seat sees the planet now."""
        return planet in self.planets and self.planets[planet].seen == self.turn

    def industry(self, seat: int) -> int:
        """Return how much industry a seat holds, as far as this one knows."""
        return sum(planet.industry for planet in self.planets.values() if planet.owner == seat)


def renew(game: Game, battles: Sequence[Battle]) -> None:
    """Note what every seat sees now. Who fights at a planet sees it, whatever comes of the fight."""
    fought = {(owner, battle.planet) for battle in battles for owner in battle.sides}
    for seat in game.seats.values():
        eyes = game.owned(seat.number)
        for planet in game.planets.values():
            if (seat.number, planet.number) in fought or _visible(game, eyes, planet.x, planet.y):
                seat.seen[planet.number] = Sighting(game.turn, planet.owner, planet.ships)


def view(game: Game, number: int) -> View:
    """Return what the seat knows."""
    seat = game.seats[number]
    planets = {}
    for key, seen in sorted(seat.seen.items()):
        planet = game.planets[key]
        name = seat.names.get(key, planet.name)
        planets[key] = Known(key, name, planet.x, planet.y, planet.industry, seen.owner, seen.ships, seen.turn)
    fleets = [fleet for fleet in game.fleets if fleet.owner == number]
    return View(number, game.turn, planets, fleets, _strangers(game, number))


def rough(ships: int) -> int:
    """Return about how many ships that is: to the nearest 5, above 50 to the nearest 10."""
    step = 5 if ships < 50 else 10
    return max(step * ((ships + step // 2) // step), 1 if ships < 3 else 5)


def _strangers(game: Game, seat: int) -> list[Stranger]:
    eyes = game.owned(seat)
    found = []
    for fleet in game.fleets:
        x, y = _place(game, fleet, game.turn)
        if fleet.owner == seat or not eyes or not _visible(game, eyes, x, y):
            continue
        near = min(eyes, key=lambda planet: (_square(planet, x, y), planet.number))
        ahead = _place(game, fleet, game.turn + 1)
        approaching = _square(near, *ahead) < _square(near, x, y)
        found.append(Stranger(fleet.owner, rough(fleet.ships), x, y, near.number, approaching))
    return sorted(found, key=lambda stranger: (stranger.owner, stranger.near, stranger.x, stranger.y, stranger.about))


def _place(game: Game, fleet: Fleet, turn: int) -> tuple[int, int]:
    origin, target = game.planets[fleet.origin], game.planets[fleet.target]
    flown, whole = turn - fleet.left, fleet.arrives - fleet.left
    return origin.x + (target.x - origin.x) * flown // whole, origin.y + (target.y - origin.y) * flown // whole


def _visible(game: Game, eyes: Sequence[Planet], x: int, y: int) -> bool:
    return not game.fog or any(_square(eye, x, y) <= SIGHT**2 for eye in eyes)


def _square(planet: Planet, x: int, y: int) -> int:
    return (planet.x - x) ** 2 + (planet.y - y) ** 2
