"""Orders: how they are read and judged. What is refused names the order by its index and says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from galaxy_game.model import Game

MOST = 200
"""How many orders a seat may give in a turn."""
NAME_LENGTH = 24
LARGEST = 1_000_000

SCHEMA: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "title": "Send ships from one of your planets to another planet",
            "required": ["order", "from", "to", "ships"],
            "properties": {
                "order": {"const": "send"},
                "from": {"type": "integer", "minimum": 1, "title": "Number of your planet"},
                "to": {"type": "integer", "minimum": 1, "title": "Number of the planet to fly to"},
                "ships": {"type": "integer", "minimum": 1, "title": "How many ships"},
            },
        },
        {
            "type": "object",
            "title": "Name a planet of yours, for your own eyes",
            "required": ["order", "planet", "name"],
            "properties": {
                "order": {"const": "name"},
                "planet": {"type": "integer", "minimum": 1, "title": "Number of your planet"},
                "name": {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH, "title": "The new name"},
            },
        },
    ]
}
"""One order, for clients and for the conformance kit."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send ships."""

    origin: int
    target: int
    ships: int


@dataclass(frozen=True, slots=True)
class Rename:
    """Name a planet."""

    planet: int
    name: str


Order = Send | Rename


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an order, or with index None the whole set, is refused."""

    index: int | None
    code: str
    message: str


class _Refused(Exception):  # noqa: N818 -- it is caught where it is raised, and is nobody's error
    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


def judge(game: Game, seat: int, raw: Sequence[object]) -> tuple[list[Order], list[Fault]]:
    """Return the orders and what is wrong with them: a set with a fault is refused whole."""
    if game.seats[seat].out is not None:
        return [], [Fault(None, "out", "You are out of the game.")]
    if len(raw) > MOST:
        return [], [Fault(None, "too_many", f"A set has at most {MOST} orders; this one has {len(raw)}.")]
    docked = {planet.number: planet.ships for planet in game.owned(seat)}
    orders: list[Order] = []
    faults: list[Fault] = []
    for index, item in enumerate(raw):
        try:
            orders.append(_read(game, seat, item, docked))
        except _Refused as refused:
            faults.append(Fault(index, refused.code, refused.message))
    return orders, faults


def _read(game: Game, seat: int, item: object, docked: dict[int, int]) -> Order:
    if not isinstance(item, dict):
        raise _Refused("bad_order", "An order is an object with the member `order`.")
    match item.get("order"):
        case "send":
            return _send(game, seat, item, docked)
        case "name":
            return _rename(game, seat, item)
        case _:
            raise _Refused("bad_order", "`order` is `send` or `name`.")


def _send(game: Game, seat: int, item: dict[str, object], docked: dict[int, int]) -> Send:
    origin, target, ships = (_number(item, member) for member in ("from", "to", "ships"))
    _own(game, seat, origin)
    _known(game, seat, target)
    if origin == target:
        raise _Refused("same_planet", "A fleet has to leave: `from` and `to` are the same planet.")
    if ships > docked[origin]:
        raise _Refused("not_enough_ships", f"Planet {origin} has {docked[origin]} ships left to send, not {ships}.")
    docked[origin] -= ships
    return Send(origin, target, ships)


def _rename(game: Game, seat: int, item: dict[str, object]) -> Rename:
    planet = _number(item, "planet")
    _own(game, seat, planet)
    name = item.get("name")
    if not isinstance(name, str) or name != tidy(name, NAME_LENGTH) or not name:
        raise _Refused("bad_name", f"A name has 1 to {NAME_LENGTH} printable characters and no double spaces.")
    return Rename(planet, name)


def _number(item: dict[str, object], member: str) -> int:
    value = item.get(member)
    if type(value) is not int or not 1 <= value <= LARGEST:  # a bool is an int too
        raise _Refused("bad_number", f"`{member}` is a whole number from 1 to {LARGEST}.")
    return value


def _own(game: Game, seat: int, planet: int) -> None:
    _known(game, seat, planet)
    if game.planets[planet].owner != seat:
        raise _Refused("not_yours", f"Planet {planet} is not yours.")


def _known(game: Game, seat: int, planet: int) -> None:
    # A planet that was never seen is as unknown as one that does not exist: refusals must not draw the map.
    if planet not in game.seats[seat].seen:
        raise _Refused("unknown_planet", "You know of no planet of that number.")


def tidy(text: str, length: int) -> str:
    """Return text on one line that no terminal, mail or page trips over."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:length].strip()
