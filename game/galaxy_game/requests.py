"""Reading the bodies of calls: what is missing or of the wrong type is refused by name; what is unknown is ignored."""

from collections.abc import Collection, Mapping
from typing import Any

from galaxy_game.rules import Options


class Refusal(Exception):  # noqa: N818 -- the contract's word: not done, and nothing changed
    """A call was refused: an HTTP status, a code that never changes, and a sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


def _bad(message: str, code: str = "bad_request") -> Refusal:
    return Refusal(422, code, message)


def members(body: object) -> Mapping[str, object]:
    """Return the members of a body that is an object."""
    if not isinstance(body, dict):
        raise _bad("The body is a JSON object.")
    return body


def integer(body: Mapping[str, object], member: str) -> int:
    """Return a whole number."""
    value = body.get(member)
    if type(value) is not int:  # a bool is an int too
        raise _bad(f"`{member}` is a whole number.")
    return value


def seed(body: Mapping[str, object], default: str | None = None) -> str:
    """Return the seed: text of 1 to 128 characters."""
    value = body.get("seed", default)
    if not isinstance(value, str) or not 1 <= len(value) <= 128 or not _encodable(value):
        raise _bad("`seed` is text of 1 to 128 characters.")
    return value


def seats(body: Mapping[str, object], players: tuple[int, int]) -> dict[int, str]:
    """Return the names of the seats, which are numbered from 1 without gaps."""
    value = body.get("seats")
    least, most = players
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise _bad(f"`seats` is a list of {least} to {most} seats.", "bad_seats")
    found = {}
    for row in value:
        if not isinstance(row, dict) or type(row.get("seat")) is not int or not isinstance(row.get("name"), str):
            raise _bad("A seat is an object with a number `seat` and text `name`.", "bad_seats")
        found[row["seat"]] = row["name"]
    if sorted(found) != list(range(1, len(value) + 1)):
        raise _bad("Seats are numbered from 1 without gaps.", "bad_seats")
    return found


def options(body: Mapping[str, object], schema: Mapping[str, Mapping[str, Any]]) -> Options:
    """Return the options of a game; what is not said has its default."""
    value = body.get("options", {})
    if not isinstance(value, dict):
        raise _bad("`options` is an object.", "bad_options")
    for name, given in value.items():
        rule = schema.get(name)
        if rule is None:
            raise _bad(f"The options are {', '.join(schema)}.", "bad_options")
        if rule["type"] == "boolean":
            if type(given) is not bool:
                raise _bad(f"`{name}` is true or false.", "bad_options")
        elif type(given) is not int or not rule["minimum"] <= given <= rule["maximum"]:
            raise _bad(f"`{name}` is a whole number from {rule['minimum']} to {rule['maximum']}.", "bad_options")
    return Options(**value)


def seat_list(body: Mapping[str, object], member: str, known: Collection[int]) -> set[int]:
    """Return a set of seats; empty where the member is missing."""
    value = body.get(member, [])
    if not isinstance(value, list) or not all(type(seat) is int and seat in known for seat in value):
        raise _bad(f"`{member}` is a list of seats of this game.")
    return set(value)


def order_list(value: object) -> list[object]:
    """Return a set of orders; each is judged by the rules."""
    if not isinstance(value, list):
        raise _bad("`orders` is a list.")
    return value


def order_sets(value: object, known: Collection[int]) -> dict[int, list[object]]:
    """Return sets of orders by seat."""
    names = {str(seat): seat for seat in known}
    if not isinstance(value, dict) or not value.keys() <= names.keys():
        raise _bad("`orders` is an object: seat → list of orders.")
    return {names[name]: order_list(raw) for name, raw in value.items()}


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
