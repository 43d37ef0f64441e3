"""Options, forecasts and suggestions."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_game import advice, rules
from galaxy_game.model import canonical
from galaxy_game.orders import Rename, Send, judge

from .playing import begin, suggested, watch

SEEDS = st.text(alphabet="0123456789abcdef", min_size=1, max_size=8)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_options_are_legal(seed: str, seats: int) -> None:
    """Every order that is offered is accepted, alone."""
    game = begin(seats, seed, rules.Options(turns=10))
    for _ in watch(game, seed):
        for seat in game.living():
            for order in advice.options(game, seat.number)["orders"]:
                assert judge(game, seat.number, [order])[1] == []


def test_options() -> None:
    """Options list the seat's planets with what is known to fly to; who is out has none."""
    game = begin(2)
    options = advice.options(game, 1)
    assert options["turn"] == 0
    assert {"order": "send", "from": 1, "to": 3, "ships": 6} in options["orders"]
    (home,) = options["data"]["planets"]
    assert {row["planet"] for row in home["targets"]} == set(game.seats[1].seen) - {1}
    game.planets[1].owner, game.seats[1].out = 2, 1
    game.turn = 1
    assert advice.options(game, 1)["orders"] == []


def test_options_are_bounded() -> None:
    """The options of the largest game stay below the contract's limit."""
    game = begin(8, options=rules.Options(planets=10))
    for planet in game.planets.values():
        planet.owner, planet.ships = 1, 10**6
    rules.sight.renew(game, [])
    assert len(canonical(advice.options(game, 1))) < 1024 * 1024


def test_forecast() -> None:
    """A forecast foretells arrival, defenders and outcome from what the seat knows."""
    game = begin(2)
    target = game.planets[3]
    target.ships = 4
    rules.sight.renew(game, [])
    orders = [Rename(1, "x"), Send(1, 3, 5), Send(1, 3, 4), Send(1, 3, 12)]
    told = advice.forecast(game, 1, orders)
    assert [(row["index"], row["outcome"]) for row in told] == [(1, "open"), (2, "loses"), (3, "wins")]
    assert told[2] == {"index": 3, "arrives": 1, "seen": 0, "meets": 4, "outcome": "wins", "remain": 7}
    target.owner, target.industry = 2, 3
    rules.sight.renew(game, [])
    assert advice.forecast(game, 1, orders[1:2])[0]["meets"] == 7
    target.owner = 1
    rules.sight.renew(game, [])
    assert advice.forecast(game, 1, orders[1:2])[0] | {"arrives": 0} == {
        "index": 0, "arrives": 0, "seen": 0, "meets": "friends", "outcome": "joins",
    }  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_certain_forecasts_come_true(seed: str) -> None:
    """Against planets that nobody holds, `wins` wins and `loses` loses, whatever the dice."""
    for ships in range(1, 13):
        game = begin(2, "forecast")
        outcome = advice.forecast(game, 1, [Send(1, 3, ships)])[0]["outcome"]
        rules.play(game, {1: [Send(1, 3, ships)]}, seed, set())
        if outcome != "open":
            assert (game.planets[3].owner == 1) is (outcome == "wins")


def test_suggestions() -> None:
    """Suggestions change nothing, are the same when asked again, and know only what the seat knows."""
    game, other = begin(3), begin(3)
    first = advice.suggest(game, 1, "seed")
    assert first == advice.suggest(game, 1, "seed") != []
    assert game == other
    hidden = next(number for number in other.planets if number not in other.seats[1].seen)
    other.planets[hidden].ships += 50
    other.planets[hidden].owner = 1
    assert advice.suggest(other, 1, "seed") == first
    assert json.loads(json.dumps(first)) == first


def test_tempers_differ() -> None:
    """The bold and the careful play differently."""
    games = [begin(2, "temper"), begin(2, "temper")]
    for game, bold in zip(games, (True, False), strict=True):
        for seat in game.seats.values():
            seat.bold = bold
    plays = [[sets for sets, _ in watch(game, "temper", suggested)] for game in games]
    assert plays[0] != plays[1]
