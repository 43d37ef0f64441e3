"""The map: the same surroundings for every seat, turned about the centre, so that no place is better than another."""

from math import isqrt

from galaxy_game.dice import Dice
from galaxy_game.model import NOBODY, SPEED, Planet

SIGHT = 7
"""How far a planet sees."""
HOME_INDUSTRY = 6
HOME_SHIPS = 12
_APART = 8
"""The least square of the distance between two planets."""
_TRIES = 60

NAMES = (  # noqa: SIM905 -- a hundred quoted words are harder to read
    "Achird Acrux Adhara Alcor Aldebar Algol Alhena Alkaid Altair Alula Ankaa Antares Arcturus Arneb Asellus "
    "Atlas Atria Avior Azha Bellatrix Capella Caph Castor Celaeno Chara Cursa Dabih Deneb Diphda Dubhe Electra "
    "Elnath Enif Errai Furud Gacrux Gienah Hadar Hamal Homam Izar Jabbah Kaus Keid Kitalpha Kochab Kraz Lesath "
    "Maia Markab Matar Megrez Menkar Merak Merope Mesarth Mimosa Minkar Mira Mirach Mirfak Mizar Muscida Naos "
    "Nashira Nekkar Nihal Nunki Okab Peacock Phact Pherkad Pleione Polaris Pollux Porrima Procyon Rasalas Regor "
    "Regulus Rigel Rotanev Ruchbah Sabik Sadr Saiph Sargas Scheat Segin Shaula Sirius Spica Sulafat Tabit Talitha "
    "Tarazed Taygeta Thuban Tyl Unuk Vega Wezen"
).split()

Place = tuple[int, int]


def generate(seats: int, planets: int, seed: str) -> dict[int, Planet]:
    """Return the planets of a new game, `planets` for each seat.

    Planet k is the home of seat k; the planets after the homes are numbered from the homes outwards, so that planet
    `seats` + k is the nearest to the home of seat k, one turn away.
    """
    attempt = 0
    while True:  # nearly every attempt succeeds; one that was unlucky is thrown again
        dice = Dice(f"{seed}/map/{attempt}")
        sectors = _sectors(seats, planets, dice)
        if sectors is not None and _connected([place for sector in sectors for place in sector]):
            return _settle(sectors, dice)
        attempt += 1


def _sectors(seats: int, planets: int, dice: Dice) -> list[list[Place]] | None:
    """Return for each sector the places of all seats in it, the homes first; None where there is no room."""
    radius = isqrt(7 * seats * planets)
    turned = dice.below(360)

    def all_round(distance: int, angle: int) -> list[Place]:
        angles = [turned + angle + 360 * seat // seats for seat in range(seats)]
        return [(radius + 1 + distance * cosine(a) // 1000, radius + 1 + distance * sine(a) // 1000) for a in angles]

    homes = all_round(3 * radius // 4, 0)
    found = [homes]
    while len(found) < planets:
        for _ in range(_TRIES):
            half = 180 // seats
            places = all_round(isqrt(dice.below(radius * radius) + 1), dice.between(-half, half))
            taken = [place for group in found for place in group]
            near = len(found) > 1 or all(_square(*pair) <= SPEED**2 for pair in zip(homes, places, strict=True))
            if near and _spaced(taken, places):
                found.append(places)
                break
        else:
            return None
    return [homes, *sorted(found[1:], key=lambda places: _square(homes[0], places[0]))]


def _settle(sectors: list[list[Place]], dice: Dice) -> dict[int, Planet]:
    names = list(NAMES)
    planets: dict[int, Planet] = {}
    for rank, places in enumerate(sectors):
        # The first neighbour of every home is an easy prize: games open with a decision, not with a wait.
        industry = HOME_INDUSTRY if rank == 0 else dice.between(2, 3) if rank == 1 else dice.between(1, 5)
        for x, y in places:
            number = len(planets) + 1
            owner, ships = (number, HOME_SHIPS) if rank == 0 else (NOBODY, 2 * industry)
            name = names.pop(dice.below(len(names)))
            planets[number] = Planet(number, name, x, y, industry, ships, owner)
    return planets


def sine(degrees: int) -> int:
    """Return the sine in thousandths, by Bhaskara's formula: integers are the same on every machine."""
    angle = degrees % 180
    product = angle * (180 - angle)
    value = 4000 * product // (40500 - product)
    return value if degrees % 360 < 180 else -value


def cosine(degrees: int) -> int:
    """Return the cosine in thousandths."""
    return sine(degrees + 90)


def _square(here: Place, there: Place) -> int:
    return (here[0] - there[0]) ** 2 + (here[1] - there[1]) ** 2


def _spaced(taken: list[Place], places: list[Place]) -> bool:
    return all(
        _square(place, other) >= _APART
        for index, place in enumerate(places)
        for other in taken + places[:index]
    )  # fmt: skip


def _connected(places: list[Place]) -> bool:
    """Whether every planet can be found from every other by conquering one planet after another."""
    reached, open_ends = {places[0]}, [places[0]]
    while open_ends:
        here = open_ends.pop()
        new = {place for place in places if _square(here, place) <= SIGHT**2} - reached
        reached |= new
        open_ends += new
    return len(reached) == len(places)
