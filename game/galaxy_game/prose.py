"""A seat's report in words: what was won and lost, what is on its way, who was seen, and a table of what is known."""

from collections.abc import Sequence

from galaxy_game.events import Battle, Built, Event, Fell, Joined
from galaxy_game.model import NOBODY, Game
from galaxy_game.rules import goal
from galaxy_game.sight import Known, View, rough

_MOST = 12
"""How many items a line lists, and how many lines a section has."""
_QUIET = (
    "A quiet turn: nothing was won and nothing lost.",
    "Your planets build, your captains wait.",
    "No shot was fired within your sight.",
)


def tell(game: Game, known: View, events: Sequence[Event]) -> str:
    """Return the turn as the seat lived it."""
    battles = [event for event in events if isinstance(event, Battle) and known.sees(event.planet)]
    teller = _Teller(game, known)
    sections = [
        [f"Turn {game.turn} of {game.limit} · {game.seats[known.seat].name}"],
        teller.opening(battles),
        teller.battles(battles),
        teller.losses(events),
        teller.home(events),
        teller.under_way(),
        teller.strangers(),
        teller.standing(),
        _table(game, known),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


class _Teller:
    """Finds the words for one seat."""

    def __init__(self, game: Game, known: View) -> None:
        self._game, self._known, self._seat = game, known, known.seat

    def opening(self, battles: Sequence[Battle]) -> list[str]:
        """Return what matters most."""
        game, seat = self._game, self._game.seats[self._seat]
        if game.result:
            return [game.result.text]
        if seat.out is not None:
            return [f"You have been out since turn {seat.out}. The others play on without you."]
        if game.turn == 0:
            return self._beginning()
        won = [self._name(battle.planet) for battle in battles if battle.winner == self._seat != battle.holder]
        lost = [self._name(battle.planet) for battle in battles if battle.holder == self._seat != battle.winner]
        deeds = ([f"you won {_list(won)}"] if won else []) + ([f"you lost {_list(lost)}"] if lost else [])
        if len(won) + len(lost) > 1:
            return [f"This turn {' and '.join(deeds)}."]
        return [] if battles else [_QUIET[(game.turn + self._seat) % len(_QUIET)]]

    def _beginning(self) -> list[str]:
        home = self._known.own()[0]
        rivals = _list([other.name for other in self._game.seats.values() if other.number != self._seat])
        return [
            f"{home.name} is yours, with {_ships(home.ships)} in orbit and docks that build {home.industry} more each "
            "turn.",
            f"The planets around it belong to nobody yet. Somewhere out there, {rivals} think the same.",
        ]

    def battles(self, battles: Sequence[Battle]) -> list[str]:
        """Return the battles that the seat fought, then those it watched."""
        own = [self._fought(battle) for battle in battles if self._seat in battle.sides]
        return _cut(own) + _cut([self._watched(battle) for battle in battles if self._seat not in battle.sides])

    def _fought(self, battle: Battle) -> str:
        # The winner counts the wrecks; the others know roughly what they saw coming.
        mine, won = battle.sides[self._seat], battle.winner == self._seat
        enemies = {owner: ships for owner, ships in battle.sides.items() if owner != self._seat and ships}
        counts = {owner: str(ships) if won else _about(rough(ships)) for owner, ships in enemies.items()}
        against = _list([f"{count} of {self._who(owner)}" for owner, count in counts.items()])
        tell = self._victory if won else self._defeat
        return tell(battle, self._name(battle.planet), mine, against)

    def _victory(self, battle: Battle, place: str, mine: int, against: str) -> str:
        if not against:
            return f"{place} is yours without a fight: nobody was there when your {_ships(mine)} came."
        if not battle.remain:
            return f"{place} is still yours, and empty: your {_ships(mine)} and {against} destroyed each other."
        verb = "held" if battle.holder == self._seat else "fell to you"
        return f"{place} {verb}: {_ships(mine)} against {against}; {battle.remain} of yours {_remain(battle.remain)}."

    def _defeat(self, battle: Battle, place: str, mine: int, against: str) -> str:
        if battle.holder != self._seat:
            return f"Defeat at {place}: your {_ships(mine)} met {against or 'others'}; none came back."
        if not mine:
            return f"{place} is lost. It lay empty when {against} came."
        return f"{place} is lost. Your {_ships(mine)} stood against {against}; none got away."

    def _watched(self, battle: Battle) -> str:
        place, holder = self._name(battle.planet), self._who(battle.holder)
        attackers = _list([self._who(owner) for owner in battle.sides if owner != battle.holder])
        if battle.winner == battle.holder:
            return f"{attackers} attacked {place} in vain; {holder} held it."
        return f"{self._who(battle.winner)} took {place}" + (f" from {holder}." if battle.holder else ".")

    def losses(self, events: Sequence[Event]) -> list[str]:
        """Return who went out."""
        fallen = [event.seat for event in events if isinstance(event, Fell) and event.seat != self._seat]
        return [f"{self._who(seat)} is out: no planet and no ship is left to them." for seat in fallen]

    def home(self, events: Sequence[Event]) -> list[str]:
        """Return what arrived and what was built."""
        there = {planet.number: planet.ships for planet in self._known.own()}
        joined = [
            f"{_ships(event.ships)} at {self._name(event.planet)}"
            for event in events
            if isinstance(event, Joined) and event.owner == self._seat
        ]
        built = [
            f"{self._name(event.planet)} {event.ships} ({there[event.planet]} there)"
            for event in events
            if isinstance(event, Built) and event.owner == self._seat and event.planet in there
        ]
        return _line("Arrived: ", joined) + _line("Built: ", built)

    def under_way(self) -> list[str]:
        """Return the seat's fleets, the first to arrive first."""
        fleets = sorted(self._known.fleets, key=lambda fleet: (fleet.arrives, fleet.target, fleet.origin))
        routes = [f"{self._name(fleet.origin)} to {self._name(fleet.target)}" for fleet in fleets]
        lines = [
            f"{_ships(fleet.ships)} from {route}, arriving on turn {fleet.arrives}"
            for fleet, route in zip(fleets, routes, strict=True)
        ]
        return _section("Under way:", lines)

    def strangers(self) -> list[str]:
        """Return the foreign fleets that were seen."""
        return _section(
            "Seen:",
            [
                f"{_about(stranger.about)} ships of {self._who(stranger.owner)} "
                f"near {self._name(stranger.near)}, {'coming nearer' if stranger.approaching else 'flying past'}"
                for stranger in self._known.strangers
            ],
        )

    def standing(self) -> list[str]:
        """Return how far the seat is from winning, and what it knows of the others."""
        game = self._game
        total = sum(planet.industry for planet in game.planets.values())
        lines = [f"You hold {self._known.industry(self._seat)} of {total} industry; {goal(game)} win."]
        for other in game.living():
            if other.number != self._seat:
                count = len(game.owned(other.number))
                known = self._known.industry(other.number)
                industry = f"at least {known} industry" if known else "unseen by you"
                lines.append(f"{other.name} holds {count} planet{'s' * (count != 1)}, {industry}.")
        return lines

    def _name(self, planet: int) -> str:
        return self._known.planets[planet].name

    def _who(self, owner: int) -> str:
        return self._game.seats[owner].name if owner else "its people"


def _table(game: Game, known: View) -> list[str]:
    """Return the known planets as lines of equal columns, the seat's own first."""

    def row(planet: Known) -> tuple[str, ...]:
        holder = "you" if planet.owner == known.seat else game.seats[planet.owner].name if planet.owner else "-"
        seen = "now" if planet.seen == known.turn else f"turn {planet.seen}"
        return str(planet.number), planet.name, holder, str(planet.industry), str(planet.ships), seen

    order = {known.seat: 0, NOBODY: 2}
    planets = sorted(known.planets.values(), key=lambda planet: (order.get(planet.owner, 1), planet.number))
    rows = [("No.", "Planet", "Holder", "Industry", "Ships", "Seen"), *(row(planet) for planet in planets)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(6)]
    right = {0, 3, 4}
    return [
        "  ".join(
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(cells)
        ).rstrip()
        for cells in rows
    ]


def _ships(count: int) -> str:
    return f"{count} ship" if count == 1 else f"{count} ships"


def _about(count: int) -> str:
    return "a few" if count < 5 else f"about {count}"


def _remain(count: int) -> str:
    return "remains" if count == 1 else "remain"


def _list(items: Sequence[str]) -> str:
    if len(items) > _MOST:
        return f"{', '.join(items[:_MOST])} and {len(items) - _MOST} more"
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"(and {len(lines) - _MOST} more)"]


def _line(head: str, items: Sequence[str]) -> list[str]:
    return [f"{head}{_list(items)}."] if items else []


def _section(head: str, lines: Sequence[str]) -> list[str]:
    return [head, *_cut([f"  {line}" for line in lines])] if lines else []
