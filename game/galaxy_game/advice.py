"""What can be ordered, what would come of it as far as the seat knows, and what a machine player would do."""

from collections.abc import Sequence
from typing import Any

from galaxy_game.dice import Dice
from galaxy_game.map import SIGHT
from galaxy_game.model import NOBODY, Game
from galaxy_game.orders import MOST, Order, Send
from galaxy_game.sight import Known, View, view

_TARGETS = 12
"""For how many of the nearest planets the options are listed one by one."""


def options(game: Game, seat: int) -> dict[str, Any]:
    """Return legal orders one by one (all ships, and half of them, to the nearest planets), and what a client needs."""
    known = view(game, seat)
    listed: list[dict[str, Any]] = []
    planets = []
    for planet in known.own():
        turns = {other: game.turns_between(planet.number, other) for other in known.planets if other != planet.number}
        nearest = sorted(turns, key=lambda other: (turns[other], other))
        amounts = sorted({planet.ships, (planet.ships + 1) // 2} - {0}, reverse=True)
        listed += [_send(planet.number, other, ships) for other in nearest[:_TARGETS] for ships in amounts]
        targets = [{"planet": other, "turns": turns[other]} for other in nearest]
        planets.append({"planet": planet.number, "name": planet.name, "ships": planet.ships, "targets": targets})
    if planets:  # one example of the order whose text is free
        listed.append({"order": "name", "planet": planets[0]["planet"], "name": planets[0]["name"]})
    return {"turn": game.turn, "orders": listed, "complete": False, "data": {"planets": planets, "most_orders": MOST}}


def forecast(game: Game, seat: int, orders: Sequence[Order]) -> list[dict[str, Any]]:
    """Return for each fleet when it arrives and how it would fare against what the seat knows to be there."""
    known = view(game, seat)
    told = []
    for index, order in enumerate(orders):
        if isinstance(order, Send):
            target = known.planets[order.target]
            turns = game.turns_between(order.origin, order.target)
            row: dict[str, Any] = {"index": index, "arrives": game.turn + turns, "seen": target.seen}
            told.append(row | _meeting(known, target, turns, order.ships))
    return told


def _meeting(known: View, target: Known, turns: int, ships: int) -> dict[str, Any]:
    if target.owner == known.seat:
        return {"meets": "friends", "outcome": "joins"}
    there = defenders(known, target, turns)
    # The dice give 90 to 110, the defender counts 5 to the attacker's 4.
    worst, best = 90 * 4 * ships - 110 * 5 * there, 110 * 4 * ships - 90 * 5 * there
    remain = max(0, ships * (4 * ships - 5 * there) // (4 * ships))
    outcome = "wins" if worst > 0 else "loses" if best <= 0 else "open"
    return {"meets": there, "outcome": outcome, "remain": remain}


def defenders(known: View, target: Known, turns: int) -> int:
    """Return how many ships will be there, if its holder builds and nothing else happens."""
    building = known.turn - target.seen + turns
    return target.ships + (target.industry * building if target.owner != NOBODY else 0)


def suggest(game: Game, seat: int, seed: str) -> list[dict[str, Any]]:
    """Return the orders of a machine player; it knows what the seat knows. The seed decides between equals."""
    return _Machine(game, seat, Dice(f"{seed}/suggest/{game.turn}/{seat}")).orders()


class _Machine:
    """Conquers what is cheap, near and rich; sends the rest to the front."""

    def __init__(self, game: Game, seat: int, dice: Dice) -> None:
        self._game, self._dice = game, dice
        self._known = view(game, seat)
        self._bold = game.seats[seat].bold
        self._claimed: dict[int, int] = {}
        for fleet in self._known.fleets:
            self._claimed[fleet.target] = self._claimed.get(fleet.target, 0) + fleet.ships

    def orders(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = []
        for planet in sorted(self._known.own(), key=lambda planet: (-planet.ships, planet.number)):
            spare = planet.ships - self._garrison(planet)
            for target in self._targets(planet):
                needed = self._needed(planet, target)
                if 0 < needed <= spare:
                    orders.append(_send(planet.number, target.number, needed))
                    self._claimed[target.number] = self._claimed.get(target.number, 0) + needed
                    spare -= needed
            front = self._front(planet)
            if front is not None and spare > planet.industry:
                orders.append(_send(planet.number, front.number, spare))
        return orders[:MOST]

    def _garrison(self, planet: Known) -> int:
        """Return how many ships stay: against what is coming, and for the careful some in any case."""
        coming = sum(
            stranger.about
            for stranger in self._known.strangers
            if stranger.near == planet.number and stranger.approaching
        )
        need = max(0, coming - planet.industry)
        return need if self._bold or not self._exposed(planet) else need + planet.industry // 2

    def _exposed(self, planet: Known) -> bool:
        """Whether a rival holds a planet from which a fleet could be here within two turns."""
        return any(
            other.owner not in (NOBODY, self._known.seat) and self._game.turns_between(other.number, planet.number) <= 2
            for other in self._known.planets.values()
        )

    def _targets(self, planet: Known) -> list[Known]:
        """Return foreign planets, the most rewarding first: industry for ships and time."""
        targets = [other for other in self._known.planets.values() if other.owner != self._known.seat]
        worth = {other.number: self._worth(planet, other) for other in targets}
        return sorted(targets, key=lambda other: (-worth[other.number], other.number))

    def _worth(self, planet: Known, target: Known) -> int:
        turns = self._game.turns_between(planet.number, target.number)
        cost = defenders(self._known, target, turns) + 4 * turns + 1
        prize = target.industry * (3 if target.owner and self._bold else 2)
        return (1000 * prize + self._dice.below(10)) // cost

    def _needed(self, planet: Known, target: Known) -> int:
        """Return how many ships take the target, with the margin of this player's temper, less those under way."""
        turns = self._game.turns_between(planet.number, target.number)
        there = defenders(self._known, target, turns)
        margin = 155 if self._bold else 165
        return there * margin // 100 + 1 - self._claimed.get(target.number, 0)

    def _front(self, planet: Known) -> Known | None:
        """Return the own planet nearest to the enemy, unless this one is as near."""
        rivals = [other for other in self._known.planets.values() if other.owner not in (NOBODY, self._known.seat)]
        if not rivals:
            return None

        def exposure(own: Known) -> int:
            return min((own.x - other.x) ** 2 + (own.y - other.y) ** 2 for other in rivals)

        best = min(self._known.own(), key=lambda own: (exposure(own), own.number))
        near = exposure(planet) <= max(exposure(best), SIGHT**2 // 2)
        return None if near else best


def _send(origin: int, target: int, ships: int) -> dict[str, Any]:
    return {"order": "send", "from": origin, "to": target, "ships": ships}
