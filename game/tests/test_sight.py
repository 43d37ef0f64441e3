"""What a seat knows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_game import rules, sight
from galaxy_game.events import Battle
from galaxy_game.map import SIGHT
from galaxy_game.model import Fleet, Sighting
from galaxy_game.orders import Send

from .playing import begin, watch


def test_near_and_far() -> None:
    """Planets within 7 of one's own are seen exactly, others not at all."""
    game = begin(4)
    home = game.planets[1]
    for planet in game.planets.values():
        near = (planet.x - home.x) ** 2 + (planet.y - home.y) ** 2 <= SIGHT**2
        assert (planet.number in game.seats[1].seen) is near
    assert 2 <= len(game.seats[1].seen) < len(game.planets)


def test_memory() -> None:
    """What is out of sight stays as it was last seen."""
    game = begin(2)
    game.planets[3].owner = 1
    sight.renew(game, [])
    game.planets[3].owner, game.planets[1].owner = 2, 2
    game.turn, game.planets[3].ships = 5, 77
    sight.renew(game, [])
    known = sight.view(game, 1).planets[3]
    assert (known.owner, known.ships, known.seen) == (1, 2 * known.industry, 0)
    assert not sight.view(game, 1).sees(3)


def test_battle_shows_the_planet() -> None:
    """Who is beaten at a planet has seen it."""
    game = begin(2)
    game.planets[3].x += 40
    game.planets[3].ships = 99
    game.fleets = [Fleet(1, 1, 3, 5, 0, 1)]
    del game.seats[1].seen[3]
    rules.play(game, {}, "seed", set())
    assert game.seats[1].seen[3] == Sighting(1, 0, game.planets[3].ships)


def test_strangers() -> None:
    """A foreign fleet near one's planet is seen by owner, place, direction and rough size; one's own is not foreign."""
    game = begin(2)
    home = game.planets[1]
    game.planets[2].x, game.planets[2].y = home.x + 10, home.y
    game.planets[4].x, game.planets[4].y = home.x, home.y
    game.fleets = [Fleet(2, 2, 1, 13, 0, 2), Fleet(1, 1, 2, 8, 0, 2)]
    game.turn = 1
    assert sight.view(game, 1).strangers == [sight.Stranger(2, 15, home.x + 5, home.y, 1, True)]
    assert sight.view(game, 1).fleets == [game.fleets[1]]
    game.fleets = [Fleet(2, 4, 2, 2, 0, 2)]
    assert sight.view(game, 1).strangers == [sight.Stranger(2, 1, home.x + 5, home.y, 1, False)]
    game.planets[2].x += 30
    game.fleets = [Fleet(2, 2, 1, 13, 0, 8)]
    assert sight.view(game, 1).strangers == []


def test_rough() -> None:
    """Sizes are rounded: few ships to 1, then to fives, then to tens."""
    assert [sight.rough(ships) for ships in (1, 2, 3, 7, 8, 12, 13, 49, 50, 54, 55, 104)] == [
        1, 1, 5, 5, 10, 10, 15, 50, 50, 50, 60, 100,
    ]  # fmt: skip


def test_without_fog() -> None:
    """Without fog everybody sees every planet and every fleet."""
    game = begin(4, options=rules.Options(fog=False))
    assert set(game.seats[1].seen) == set(game.planets)
    game.planets[7].x += 40
    rules.play(game, {2: [Send(2, 7, 3)]}, "seed", set())
    assert [stranger.owner for stranger in sight.view(game, 1).strangers] == [2]


@settings(max_examples=10, deadline=None)
@given(st.text(alphabet="0123456789abcdef", min_size=1, max_size=8), st.integers(2, 5))
def test_knowledge_grows_from_sight_alone(seed: str, seats: int) -> None:
    """Nothing becomes known but by a planet of one's own within 7, or by having fought there."""
    game = begin(seats, seed, rules.Options(turns=20))
    for _, events in watch(game, seed):
        fought = {(side, event.planet) for event in events if isinstance(event, Battle) for side in event.sides}
        for seat in game.seats.values():
            eyes = game.owned(seat.number)
            for number, seen in seat.seen.items():
                planet = game.planets[number]
                near = any((eye.x - planet.x) ** 2 + (eye.y - planet.y) ** 2 <= SIGHT**2 for eye in eyes)
                assert (seen.turn == game.turn) is (near or (seat.number, number) in fought)
