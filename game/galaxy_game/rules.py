"""What a turn does. Everything here is a pure function of the position, the orders and the seed."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from galaxy_game import map as maps
from galaxy_game import sight
from galaxy_game.dice import Dice
from galaxy_game.events import Battle, Built, Event, Fell, Joined
from galaxy_game.model import NOBODY, Fleet, Game, Planet, Result, Seat
from galaxy_game.orders import Order, Send, tidy

PATIENCE = 3
"""After so many turns in a row with nobody at the seat, its planets stop building."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the owner of a game may choose."""

    planets: int = 5
    turns: int = 60
    fog: bool = True


def begin(seats: Mapping[int, str], options: Options, seed: str) -> Game:
    """Return position 0. Seats are numbered from 1 without gaps."""
    dice = Dice(f"{seed}/seats")
    players = {number: Seat(number, _title(number, seats), bool(dice.below(2))) for number in sorted(seats)}
    planets = maps.generate(len(seats), options.planets, seed)
    game = Game(0, options.turns, options.fog, planets, [], players)
    sight.renew(game, [])
    return game


def play(game: Game, orders: Mapping[int, Sequence[Order]], seed: str, vacant: Collection[int]) -> list[Event]:
    """Move the position on by a turn; return what happened, in the order in which it did."""
    for seat in game.seats.values():
        seat.vacant = seat.vacant + 1 if seat.number in vacant else 0
        for order in orders.get(seat.number, ()):
            _carry_out(game, seat, order)
    game.turn += 1
    events: list[Event] = list(_build(game))
    events += _arrive(game, seed)
    events += _fall(game)
    sight.renew(game, [event for event in events if isinstance(event, Battle)])
    game.result = outcome(game)
    return events


def share(seats: int) -> int:
    """Return the percentage of all industry that wins."""
    return 60 if seats <= 2 else 50 if seats <= 4 else 40


def goal(game: Game) -> int:
    """Return how much industry wins at once."""
    total = sum(planet.industry for planet in game.planets.values())
    return -(-total * share(len(game.seats)) // 100)


def outcome(game: Game) -> Result | None:
    """Return how the game ended, or None while it goes on."""
    ranking = _ranking(game)
    living = game.living()
    best = game.industry(ranking[0][0])
    names = " and ".join(game.seats[seat].name for seat in ranking[0])
    if not living:
        return Result(ranking, f"Nobody is left: {names} held out longest.")
    if len(living) == 1:
        return Result(ranking, f"{names} won: nobody else is left in the galaxy.")
    if best >= goal(game):
        return Result(ranking, f"{names} won with {best} industry; {goal(game)} were enough.")
    if game.turn >= game.limit:
        return Result(ranking, f"{names} won: after {game.limit} turns nobody has more industry than {best}.")
    return None


def _title(number: int, seats: Mapping[int, str]) -> str:
    names = {seat: tidy(name, 40) for seat, name in seats.items()}
    own = names[number] or f"Seat {number}"
    return own if list(names.values()).count(names[number]) == 1 else f"{own} ({number})"


def _carry_out(game: Game, seat: Seat, order: Order) -> None:
    if not isinstance(order, Send):
        seat.names[order.planet] = order.name
        return
    game.planets[order.origin].ships -= order.ships
    arrives = game.turn + game.turns_between(order.origin, order.target)
    route = (seat.number, order.origin, order.target, game.turn)
    for fleet in game.fleets:
        if (fleet.owner, fleet.origin, fleet.target, fleet.left) == route:
            fleet.ships += order.ships
            return
    game.fleets.append(Fleet(seat.number, order.origin, order.target, order.ships, game.turn, arrives))


def _build(game: Game) -> list[Built]:
    built = []
    for planet in game.planets.values():
        if planet.owner != NOBODY and game.seats[planet.owner].vacant <= PATIENCE:
            planet.ships += planet.industry
            built.append(Built(planet.number, planet.owner, planet.industry))
    return built


def _arrive(game: Game, seed: str) -> list[Event]:
    arriving: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for fleet in game.fleets:
        if fleet.arrives == game.turn:
            arriving[fleet.target][fleet.owner] += fleet.ships
    game.fleets = [fleet for fleet in game.fleets if fleet.arrives > game.turn]
    events: list[Event] = []
    for number in sorted(arriving):
        planet, sides = game.planets[number], dict(sorted(arriving[number].items()))
        if planet.owner in sides:
            events.append(Joined(number, planet.owner, sides[planet.owner]))
        sides[planet.owner] = sides.get(planet.owner, 0) + planet.ships
        if len(sides) == 1:
            planet.ships = sides[planet.owner]
        else:
            # The seed is the turn's; the turn that is being played is the one before the position it leads to.
            events.append(_fight(planet, dict(sorted(sides.items())), Dice(f"{seed}/{game.turn - 1}/{number}")))
    return events


def _fight(planet: Planet, sides: dict[int, int], dice: Dice) -> Battle:
    """Decide who holds the planet. All integers: ships by 90 to 110 from the dice, by 5 for the defender and 4 else."""
    strength = {
        owner: ships * dice.between(90, 110) * (5 if owner == planet.owner else 4) for owner, ships in sides.items()
    }
    ranked = sorted(strength, key=lambda owner: strength[owner], reverse=True)
    first, second = strength[ranked[0]], strength[ranked[1]]
    holder = planet.owner
    planet.ships = 0
    if first > second:
        planet.owner = ranked[0]
        planet.ships = -(-sides[ranked[0]] * (first - second) // first)
    return Battle(planet.number, holder, sides, planet.owner, planet.ships)


def _fall(game: Game) -> list[Fell]:
    alive = {planet.owner for planet in game.planets.values()} | {fleet.owner for fleet in game.fleets}
    fallen = [seat for seat in game.living() if seat.number not in alive]
    for seat in fallen:
        seat.out = game.turn
    return [Fell(seat.number) for seat in fallen]


def _ranking(game: Game) -> list[list[int]]:
    """Group the seats: by industry, those without any by the turn on which they went out."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for seat in game.seats.values():
        lasted = game.limit + 1 if seat.out is None else seat.out
        groups[(lasted, game.industry(seat.number))].append(seat.number)
    return [groups[key] for key in sorted(groups, reverse=True)]
