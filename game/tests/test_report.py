"""Reports, as data and in words."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_game import report, rules
from galaxy_game.events import Battle, Event, Fell
from galaxy_game.model import Game, canonical
from galaxy_game.orders import Rename, Send
from galaxy_game.prose import tell
from galaxy_game.sight import view

from .playing import begin, watch


def told(game: Game, seat: int, *events: Event) -> str:
    return tell(game, view(game, seat), events)


@settings(max_examples=10, deadline=None)
@given(st.text(alphabet="0123456789abcdef", min_size=1, max_size=8), st.integers(2, 6))
def test_no_leak(seed: str, seats: int) -> None:
    """No report names, in words or by number, a planet that its seat cannot know."""
    game = begin(seats, seed, rules.Options(turns=20))
    for _, events in watch(game, seed):
        for seat in game.seats.values():
            private = report.private(game, seat.number, events)
            words = set(re.findall(r"\w+", private["text"]))
            hidden = [planet for planet in game.planets.values() if planet.number not in seat.seen]
            assert not words & {planet.name for planet in hidden}
            data = private["data"]
            assert {planet["number"] for planet in data["planets"]} == set(seat.seen)
            assert {event["planet"] for event in data["events"] if "planet" in event} <= set(seat.seen)


def test_hidden_change_is_hidden() -> None:
    """What happens out of a seat's sight makes no difference to its report, down to the byte."""
    game, other = begin(3), begin(3)
    hidden = next(number for number in other.planets if all(number not in s.seen for s in other.seats.values()))
    other.planets[hidden].ships += 100
    other.planets[hidden].name = "Elsewhere"
    for each in (game, other):
        events = rules.play(each, {2: [Send(2, 5, 9)]}, "seed", set())
        each.seats[1].bold = not each.seats[1].bold
        assert events
    assert canonical(report.private(game, 1, [])) == canonical(report.private(other, 1, []))


def test_own_names_are_private() -> None:
    """A player's name for a planet is in that player's report and in no other."""
    game = begin(2)
    game.planets[2].x, game.planets[2].y = game.planets[1].x + 4, game.planets[1].y
    events = rules.play(game, {1: [Rename(1, "Secret"), Send(1, 2, 12)]}, "seed", set())
    assert "Secret" in report.private(game, 1, events)["text"]
    for shown in (report.private(game, 2, events), report.public(game, events)):
        assert "Secret" not in json.dumps(shown)


def test_public() -> None:
    """The public report has the battles by place and who holds it, the standing, and no number of ships."""
    game = begin(2)
    events = rules.play(game, {1: [Send(1, 3, 12)]}, "seed", set())
    public = report.public(game, events)
    name = game.planets[3].name
    assert public["text"] == f"Turn 1 of 60\nBattle at {name}: Ada holds it.\nAda: 2 planets\nBen: 1 planet"
    assert public["data"]["battles"] == [{"planet": 3, "name": name, "winner": 1}]
    assert "ships" not in json.dumps(public)
    game.seats[2].out, game.planets[3].owner = 1, 0
    text = report.public(game, [Battle(3, 0, {0: 4, 1: 5}, 0, 0)])["text"]
    assert "it belongs to nobody" in text
    assert "Ben: out since turn 1" in text


BATTLES = [
    (Battle(3, 0, {0: 4, 1: 8}, 1, 3), "X fell to you: 8 ships against 4 of its people; 3 of yours remain."),
    (Battle(3, 2, {1: 8, 2: 0}, 1, 8), "X is yours without a fight: nobody was there when your 8 ships came."),
    (Battle(3, 2, {1: 8, 2: 13}, 2, 7), "Defeat at X: your 8 ships met about 15 of Ben; none came back."),
    (Battle(3, 1, {1: 9, 2: 19}, 2, 4), "X is lost. Your 9 ships stood against about 20 of Ben; none got away."),
    (Battle(3, 1, {1: 0, 2: 2}, 2, 2), "X is lost. It lay empty when a few of Ben came."),
    (Battle(3, 1, {1: 9, 2: 2, 3: 1}, 1, 1), "X held: 9 ships against 2 of Ben and 1 of Cyd; 1 of yours remains."),
    (Battle(3, 1, {1: 4, 2: 5}, 1, 0), "X is still yours, and empty: your 4 ships and 5 of Ben destroyed each other."),
    (Battle(3, 2, {2: 4, 3: 5}, 3, 1), "Cyd took X from Ben."),
    (Battle(3, 0, {0: 4, 3: 5}, 3, 1), "Cyd took X."),
    (Battle(3, 2, {2: 4, 3: 5}, 2, 1), "Cyd attacked X in vain; Ben held it."),
    (Battle(3, 0, {0: 4, 2: 5, 3: 5}, 0, 0), "Ben and Cyd attacked X in vain; its people held it."),
]


@pytest.mark.parametrize(("battle", "sentence"), BATTLES)
def test_battles_in_words(battle: Battle, sentence: str) -> None:
    """Each kind of battle has its sentence, with the numbers that this reader may know."""
    game = begin(3)
    game.planets[3].name = "X"
    game.planets[3].x, game.planets[3].y = game.planets[1].x + 3, game.planets[1].y
    rules.play(game, {}, "seed", set())
    assert sentence in told(game, 1, battle).split("\n")


def test_story() -> None:
    """The report tells what arrived, what was built, what is under way, who was seen and who went out."""
    game = begin(3)
    home, other = game.planets[1], game.planets[4]
    home.name, other.name, other.owner = "Mira", "Sado", 1
    game.planets[7].x, game.planets[7].y, game.planets[7].name = home.x + 40, home.y, "Thule"
    game.planets[2].x, game.planets[2].y = home.x + 10, home.y
    events = rules.play(game, {1: [Send(1, 4, 5), Send(1, 7, 3)], 2: [Send(2, 1, 9)]}, "seed", set())
    game.seats[3].out = 1
    text = told(game, 1, *events, Fell(3))
    built = game.planets[4].industry
    assert "Arrived: 5 ships at Sado." in text
    assert f"Built: Mira 6 (10 there) and Sado {built} ({game.planets[4].ships} there)." in text
    assert "Under way:\n  3 ships from Mira to Thule, arriving on turn 8" in text
    assert "  about 10 ships of Ben near Mira, coming nearer" in text
    assert "Cyd is out: no planet and no ship is left to them." in text
    assert "Ben holds 1 planet, unseen by you." in text
    assert "Cyd holds" not in text


def test_headline() -> None:
    """Several planets won or lost are a headline; one battle speaks for itself; a quiet turn says so."""
    game = begin(2)
    for number in (3, 5):
        game.planets[number].x, game.planets[number].y = game.planets[1].x + 3, game.planets[1].y
        game.planets[number].name = f"P{number}"
    rules.play(game, {}, "seed", set())
    won, lost = Battle(3, 0, {0: 4, 1: 8}, 1, 3), Battle(5, 1, {1: 1, 2: 8}, 2, 7)
    assert told(game, 1, won, lost).split("\n\n")[1] == "This turn you won P3 and you lost P5."
    assert told(game, 1, won).split("\n\n")[1].startswith("P3 fell")
    assert "\n" not in told(game, 1).split("\n\n")[1]


def test_out_and_over() -> None:
    """Who is out is told so, and at the end everybody reads who won."""
    game = begin(2)
    game.seats[1].out = 4
    assert "You have been out since turn 4." in told(game, 1)
    game.result = rules.Result([[2], [1]], "Ben won.")
    assert told(game, 1).split("\n\n")[1] == "Ben won."


def test_length() -> None:
    """A report of the largest game stays readable: at most 80 lines before its table, and no line is endless."""
    game = begin(8, "long", rules.Options(planets=10))
    for _, events in watch(game, "long"):
        for seat in game.living():
            text = told(game, seat.number, *events)
            assert len(text.partition("\nNo.")[0].split("\n")) <= 80
            assert max(len(line) for line in text.split("\n")) < 400
        if game.turn > 25:
            break
