"""What a turn does."""

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_game import rules
from galaxy_game.dice import Dice
from galaxy_game.events import Battle, Built, Fell, Joined
from galaxy_game.model import NOBODY, Fleet, Game, canonical, dump
from galaxy_game.orders import Order, Rename, Send

from .playing import begin, suggested, watch

SEEDS = st.text(alphabet="0123456789abcdef", min_size=1, max_size=8)


def afloat(game: Game) -> int:
    """Return all ships that there are."""
    return sum(planet.ships for planet in game.planets.values()) + sum(fleet.ships for fleet in game.fleets)


def turn(game: Game, orders: dict[int, list[Order]], vacant: set[int] | None = None) -> list[rules.Event]:
    return rules.play(game, orders, "seed", vacant or set())


def battles(events: list[rules.Event]) -> list[Battle]:
    return [event for event in events if isinstance(event, Battle)]


def test_order_of_a_turn() -> None:
    """Ships leave before the planet builds, and a fleet arrives after the holder of its target has built."""
    game = begin(2)
    game.planets[3].owner, game.planets[3].ships, game.planets[3].industry = 2, 0, 2
    events = turn(game, {1: [Send(1, 3, 12)]})
    assert Built(1, 1, 6) in events
    assert game.planets[1].ships == 6
    assert battles(events)[0].sides == {1: 12, 2: 2}


def test_travel() -> None:
    """A fleet flies 5 a turn, arrives on the turn that was foretold, and cannot be called back."""
    game = begin(2)
    game.planets[3].x, game.planets[3].y = game.planets[1].x + 11, game.planets[1].y
    assert game.turns_between(1, 3) == 3
    turn(game, {1: [Send(1, 3, 12)]})
    assert game.fleets == [Fleet(1, 1, 3, 12, 0, 3)]
    turn(game, {})
    assert len(game.fleets) == 1
    assert battles(turn(game, {}))[0].planet == 3


def test_fleets_of_one_route_are_one() -> None:
    """Many orders for one route make one fleet: the position does not grow with the number of orders."""
    game = begin(2)
    game.planets[3].x += 40
    turn(game, {1: [Send(1, 3, 1)] * 12})
    assert [fleet.ships for fleet in game.fleets] == [12]


def test_joining() -> None:
    """A fleet that arrives at a planet of its owner joins the ships there."""
    game = begin(2)
    game.planets[3].owner, game.planets[3].ships = 1, 1
    events = turn(game, {1: [Send(1, 3, 5)]})
    assert Joined(3, 1, 5) in events
    assert game.planets[3].ships == 1 + game.planets[3].industry + 5
    assert battles(events) == []


def test_names_are_kept() -> None:
    """A name is the player's own."""
    game = begin(2)
    turn(game, {1: [Rename(1, "Hope")]})
    assert game.seats[1].names == {1: "Hope"}
    assert game.planets[1].name != "Hope"


@pytest.mark.parametrize(
    ("sides", "holder"), [({0: 4, 1: 8}, 0), ({1: 10, 2: 8}, 1), ({0: 2, 1: 9, 2: 7}, 0), ({1: 0, 2: 1}, 1)]
)
def test_battle(sides: dict[int, int], holder: int) -> None:
    """The strongest keeps the share by which it was stronger than the second; the holder counts 5 to the others' 4."""
    planet = begin(2).planets[3]
    planet.owner = holder
    throws = Dice("label")
    strength = {side: ships * throws.between(90, 110) * (5 if side == holder else 4) for side, ships in sides.items()}
    first, second = sorted(strength.values(), reverse=True)[:2]
    winner = max(strength, key=lambda side: strength[side])
    battle = rules._fight(planet, sides, Dice("label"))
    assert (battle.winner, planet.owner) == (winner, winner)
    assert battle.remain == planet.ships == -(-sides[winner] * (first - second) // first) > 0


def test_equal_battle() -> None:
    """Two equal sides destroy each other, and the planet keeps its holder."""

    class Even(Dice):
        def below(self, bound: int) -> int:
            return 0

    planet = begin(2).planets[3]
    assert rules._fight(planet, {0: 4, 1: 5}, Even("")) == Battle(3, NOBODY, {0: 4, 1: 5}, NOBODY, 0)
    assert planet.ships == 0
    assert rules._fight(planet, {0: 1, 1: 5, 2: 5}, Even("")).winner == NOBODY


def test_vacant() -> None:
    """The planets of a seat that nobody holds build for three more turns, and again once somebody is there."""
    game = begin(2)
    built = [sum(isinstance(event, Built) and event.owner == 1 for event in turn(game, {}, {1})) for _ in range(5)]
    assert built == [1, 1, 1, 0, 0]
    assert Built(1, 1, 6) in turn(game, {})


def test_out_and_last() -> None:
    """Who has no planet and no fleet is out; the last one has won."""
    game = begin(2)
    game.planets[1].ships = 500
    game.planets[3].x, game.planets[3].y, game.planets[1].x = game.planets[2].x, game.planets[2].y, game.planets[2].x
    game.planets[1].y = game.planets[2].y
    events = turn(game, {1: [Send(1, 2, 500)]})
    assert Fell(2) in events
    assert game.seats[2].out == 1
    assert game.result is not None
    assert game.result.ranking == [[1], [2]]
    assert game.result.text == "Ada won: nobody else is left in the galaxy."


def test_fleets_keep_a_seat_alive() -> None:
    """A seat without planets is in the game as long as it has a fleet."""
    game = begin(2)
    game.planets[2].owner, game.fleets = NOBODY, [Fleet(2, 2, 4, 5, 0, 9)]
    turn(game, {})
    assert game.seats[2].out is None
    assert game.result is None


def test_nobody_is_left() -> None:
    """Those who fell last share, where all fell."""
    game = begin(3)
    for seat, out in ((1, 4), (2, 7), (3, 7)):
        game.planets[seat].owner, game.seats[seat].out = NOBODY, out
    result = rules.outcome(game)
    assert result is not None
    assert result.ranking == [[2, 3], [1]]


def test_goal() -> None:
    """The game ends when somebody holds the share, not a point earlier."""
    game = begin(2)
    game.planets[1].industry = rules.goal(game) - 1
    for planet in list(game.planets.values())[2:]:
        planet.industry = 0
    game.planets[2].industry = 100
    game.planets[1].industry = 149
    assert rules.goal(game) == 150
    assert rules.outcome(game) is None
    game.planets[1].industry, game.planets[2].industry = 150, 100
    result = rules.outcome(game)
    assert result is not None
    assert result.text == "Ada won with 150 industry; 150 were enough."


def test_last_turn() -> None:
    """After the last turn the most industry wins, and equals share."""
    game = begin(3, options=rules.Options(turns=10))
    for _ in range(10):
        assert game.result is None
        turn(game, {})
    assert game.result is not None
    assert game.result.ranking == [[1, 2, 3]]


def test_names_of_seats() -> None:
    """Names are tidied, and told apart where they are equal or empty."""
    game = rules.begin({1: "A\nda", 2: "", 3: "A da"}, rules.Options(), "x")
    assert [seat.name for seat in game.seats.values()] == ["A da (1)", "Seat 2", "A da (3)"]


GOLDEN = {
    2: "18 d8c4e880f4665c3f6d215b70f8639089",
    3: "9 e3efae9c964510e3d37d5f88da165c9b",
    4: "60 2f4e191d8e5be23d9c2ce5b49da1891b",
    6: "27 9c70cc138948739ca37403e2eb025116",
    8: "42 e8ffc98ee08196d22682d6a158085c25",
}
"""Seats → turns and digest of the last position. A change here means that games under way go on differently: such a
version is not a patch."""


@pytest.mark.parametrize("seats", GOLDEN)
def test_golden(seats: int) -> None:
    """A game that machine players play ends in the same position as ever."""
    game = begin(seats, "golden")
    turns = sum(1 for _ in watch(game, "golden"))
    assert f"{turns} {hashlib.sha256(canonical(dump(game))).hexdigest()[:32]}" == GOLDEN[seats]


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 6), st.integers(3, 6))
def test_conservation(seed: str, seats: int, planets: int) -> None:
    """Ships come from building and go in battle, and in no other way; none is ever negative."""
    game = begin(seats, seed, rules.Options(planets=planets, turns=25))
    before = afloat(game)
    for _, events in watch(game, seed):
        built = sum(event.ships for event in events if isinstance(event, Built))
        gone = sum(sum(battle.sides.values()) - battle.remain for battle in battles(events))
        assert afloat(game) == before + built - gone
        assert min(planet.ships for planet in game.planets.values()) >= 0
        assert all(fleet.ships > 0 and fleet.arrives > game.turn for fleet in game.fleets)
        before = afloat(game)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.permutations([1, 2, 3, 4]))
def test_order_of_seats(seed: str, order: list[int]) -> None:
    """In which order the seats' orders came makes no difference."""
    one, other = begin(4, seed), begin(4, seed)
    for sets, events in itertools.islice(watch(one, seed), 12):
        shuffled = {seat: sets[seat] for seat in order if seat in sets}
        assert rules.play(other, shuffled, f"{seed}/{other.turn}", set()) == events
        assert other == one


def test_suggestions_end_games() -> None:
    """Machine players play to an end before the last turn, more often than not."""
    ends = []
    for seed in range(6):
        game = begin(3, f"end {seed}")
        for _ in watch(game, str(seed), suggested):
            pass
        ends.append(game.turn)
    assert sorted(ends)[3] < 40
