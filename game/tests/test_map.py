"""The map."""

from math import cos, isqrt, radians, sin

import pytest

from galaxy_game.map import HOME_INDUSTRY, HOME_SHIPS, NAMES, SIGHT, cosine, generate, sine
from galaxy_game.model import SPEED, Planet


def distance(here: Planet, there: Planet) -> int:
    return isqrt((here.x - there.x) ** 2 + (here.y - there.y) ** 2)


@pytest.mark.parametrize("seats", range(2, 9))
@pytest.mark.parametrize("planets", [3, 5, 10])
def test_fair(seats: int, planets: int) -> None:
    """Every seat has a home, a neighbour one turn away, and the same industry at about the same distances."""
    for seed in range(20):
        found = generate(seats, planets, f"seed {seed}")
        assert list(found) == list(range(1, seats * planets + 1))
        assert len({planet.name for planet in found.values()}) == len(found)
        around: set[tuple[int, ...]] = set()
        for seat in range(1, seats + 1):
            home = found[seat]
            assert (home.owner, home.industry, home.ships) == (seat, HOME_INDUSTRY, HOME_SHIPS)
            assert distance(home, found[seats + seat]) <= SPEED
            own = [found[seat + seats * rank] for rank in range(planets)]
            around.add(tuple(planet.industry for planet in own))
        assert len(around) == 1
        neutral = [planet for planet in found.values() if planet.owner == 0]
        assert all(planet.ships == 2 * planet.industry and 1 <= planet.industry <= 5 for planet in neutral)


@pytest.mark.parametrize("seats", range(2, 9))
def test_everything_can_be_found(seats: int) -> None:
    """From any planet one comes to see every other by taking what one sees."""
    for seed in range(20):
        found = list(generate(seats, 3, f"seed {seed}").values())
        reached = {found[0].number}
        for _ in found:
            reached |= {
                there.number
                for there in found
                for here in found
                if here.number in reached and distance(here, there) <= SIGHT
            }
        assert len(reached) == len(found)


def test_names_suffice() -> None:
    """There are as many different names as the largest map needs."""
    assert len(set(NAMES)) == len(NAMES) >= 8 * 10


def test_circle() -> None:
    """The integer sine is within two thousandths of the real one."""
    for degrees in range(-720, 720):
        assert abs(sine(degrees) - 1000 * sin(radians(degrees))) < 2.5
        assert abs(cosine(degrees) - 1000 * cos(radians(degrees))) < 2.5
