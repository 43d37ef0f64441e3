"""The calls of the engine contract, without HTTP: one game at a time, orders by seat, and the last turn's answer."""

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from galaxy_game import advice, report, requests, rules
from galaxy_game.events import Event
from galaxy_game.model import Game, canonical, dump, load
from galaxy_game.orders import SCHEMA, Fault, Order, judge
from galaxy_game.requests import Refusal

PLAYERS = (2, 8)

OPTIONS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "planets": {"type": "integer", "minimum": 3, "maximum": 10, "default": 5, "title": "Planets for each player"},
        "turns": {"type": "integer", "minimum": 10, "maximum": 200, "default": 60, "title": "The last turn"},
        "fog": {"type": "boolean", "default": True, "title": "Planets and fleets far away are hidden"},
    },
}


def package_version() -> str:
    """Return the version of this distribution; where it is not installed, as in its image, that of its source."""
    try:
        return version("galaxy-backend-game")
    except PackageNotFoundError:
        source = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(source.read_text("utf-8"))["project"]["version"])


def _example(seats: int) -> dict[str, Any]:
    # Planet k is the home of seat k, planet seats + k its neighbour, whatever the seed.
    opening = {
        str(seat): [{"order": "send", "from": seat, "to": seats + seat, "ships": 9}] for seat in range(1, seats + 1)
    }
    follow = {str(seat): [{"order": "name", "planet": seat, "name": f"Home of {seat}"}] for seat in range(1, seats + 1)}
    return {"seats": seats, "options": {}, "turns": [opening, follow]}


DESCRIPTION: dict[str, Any] = {
    "contract": 1,
    "engine": "galaxy",
    "version": package_version(),
    "title": "Galaxy",
    "summary": "Conquer the industry of a small galaxy: fleets that cannot be called back, and fog between the stars.",
    "players": {"min": PLAYERS[0], "max": PLAYERS[1]},
    "options_schema": OPTIONS_SCHEMA,
    "order_schema": SCHEMA,
    "capabilities": ["validate", "options", "suggest", "bundle"],
    "examples": [_example(2), _example(4)],
}


class Engine:
    """Holds a position and the orders for it. A call that raises `Refusal` has changed nothing."""

    def __init__(self) -> None:
        self._game: Game | None = None
        self._orders: dict[int, list[Order]] = {}
        self._answer: tuple[int, bytes] | None = None
        """The turn that was run last, and what was answered."""

    def describe(self) -> bytes:
        """Return what this engine is."""
        return canonical(DESCRIPTION)

    def init(self, body: object) -> bytes:
        """Begin a game; return position 0."""
        members = requests.members(body)
        seed = requests.seed(members)
        seats = requests.seats(members, PLAYERS)
        game = rules.begin(seats, requests.options(members, OPTIONS_SCHEMA["properties"]), seed)
        self._replace(game)
        return _position(game, [])

    def load(self, body: object) -> bytes:
        """Load a snapshot in place of everything."""
        members = requests.members(body)
        self._replace(_snapshot(members, requests.integer(members, "turn")))
        return b"{}"

    def order(self, seat: int, body: object) -> bytes:
        """Replace the seat's orders, or refuse them and keep the former."""
        _, orders, faults = self._judge(seat, body)
        if not faults:
            self._orders[seat] = orders
        return _verdict(faults)

    def validate(self, seat: int, body: object) -> bytes:
        """Judge orders as `order` would, with a forecast of those that are fine."""
        game, orders, faults = self._judge(seat, body)
        return _verdict(faults) if faults else _verdict(faults, advice.forecast(game, seat, orders))

    def options(self, seat: int) -> bytes:
        """Return what the seat may order."""
        return canonical(advice.options(self._seated(seat), seat))

    def suggest(self, seat: int, body: object) -> bytes:
        """Return the orders of a machine player."""
        game, members = self._seated(seat), requests.members(body)
        seed = requests.seed(members, default="-")
        self._open(game, requests.integer(members, "turn"))
        if game.seats[seat].out is not None:
            raise Refusal(409, "out", f"Seat {seat} is out of the game.")
        return canonical({"turn": game.turn, "orders": advice.suggest(game, seat, seed)})

    def turn(self, body: object) -> bytes:
        """Run a turn; return the next position. The turn that was run last is answered again as it was."""
        members = requests.members(body)
        number, seed = requests.integer(members, "turn"), requests.seed(members)
        if "state" not in members and self._answer is not None and self._answer[0] == number:
            return self._answer[1]
        game = _snapshot(members, number) if "state" in members else copy.deepcopy(self._held())
        self._open(game, number)
        absent = requests.seat_list(members, "absent", game.seats)
        vacant = requests.seat_list(members, "vacant", game.seats)
        orders = self._sets(game, members)
        present = {seat: orders[seat] for seat in sorted(orders) if seat not in absent | vacant}
        answer = _position(game, rules.play(game, present, seed, vacant))
        self._replace(game)
        self._answer = number, answer
        return answer

    def _replace(self, game: Game) -> None:
        self._game, self._orders, self._answer = game, {}, None

    def _held(self) -> Game:
        if self._game is None:
            raise Refusal(409, "no_game", "No game is loaded: use /v1/init or /v1/state first.")
        return self._game

    def _seated(self, seat: int) -> Game:
        game = self._held()
        if seat not in game.seats:
            raise Refusal(404, "unknown_seat", "This game has no such seat.")
        return game

    @staticmethod
    def _open(game: Game, turn: int) -> None:
        if turn != game.turn:
            raise Refusal(409, "wrong_turn", f"The position is that of turn {game.turn}.")
        if game.result:
            raise Refusal(409, "finished", "The game is over.")

    def _judge(self, seat: int, body: object) -> tuple[Game, list[Order], list[Fault]]:
        game, members = self._seated(seat), requests.members(body)
        raw = requests.order_list(members.get("orders"))
        self._open(game, requests.integer(members, "turn"))
        return game, *judge(game, seat, raw)

    def _sets(self, game: Game, members: Mapping[str, object]) -> dict[int, list[Order]]:
        """Return the orders to run: those that ride with the call, else those that were posted."""
        if "orders" not in members:
            return {} if "state" in members else self._orders
        sets = {}
        for seat, raw in requests.order_sets(members["orders"], game.seats).items():
            sets[seat], faults = judge(game, seat, raw)
            if faults:
                raise Refusal(422, "bad_orders", f"Seat {seat}: {faults[0].message}")
        return sets


def _snapshot(members: Mapping[str, object], turn: int) -> Game:
    try:
        game = load(members.get("state"))
    except (ValueError, RecursionError):
        raise Refusal(422, "bad_state", "This is not a snapshot that this engine wrote.") from None
    if game.turn != turn:
        raise Refusal(422, "bad_state", f"The snapshot is of turn {game.turn}, not of the one named beside it.")
    return game


def _position(game: Game, events: Sequence[Event]) -> bytes:
    over = game.result is not None
    holders = [seat.number for seat in game.living() if game.owned(seat.number)]
    return canonical(
        {
            "turn": game.turn,
            "state": dump(game),
            "reports": {str(seat): report.private(game, seat, events) for seat in game.seats},
            "public_report": report.public(game, events),
            # Who has nothing but fleets under way has no choice to make, and nobody should wait for that seat.
            "awaiting": [] if over else holders or [seat.number for seat in game.living()],
            "phase": None,
            "eliminated": [seat.number for seat in game.seats.values() if seat.out is not None],
            "finished": over,
            "result": _result(game),
        }
    )


def _result(game: Game) -> dict[str, Any] | None:
    if game.result is None:
        return None
    return {
        "winners": game.result.ranking[0],
        "ranking": game.result.ranking,
        "scores": {str(seat): game.industry(seat) for seat in game.seats},
        "text": game.result.text,
    }


def _verdict(faults: Sequence[Fault], forecast: object = None) -> bytes:
    answer: dict[str, Any] = {"accepted": not faults, "errors": [asdict(fault) for fault in faults]}
    return canonical(answer if forecast is None else answer | {"forecast": forecast})
