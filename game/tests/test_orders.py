"""Judging orders."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from galaxy_game.orders import MOST, SCHEMA, Fault, Rename, Send, judge, tidy

from .playing import begin

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={"order": st.sampled_from(["send", "name"]) | JSON}
    | {name: st.integers(-1, 14) | JSON for name in ("from", "to", "ships", "planet")}
    | {"name": st.text() | JSON},
)


def send(origin: Any = 1, target: Any = 3, ships: Any = 5) -> dict[str, Any]:
    return {"order": "send", "from": origin, "to": target, "ships": ships}


def test_accepted() -> None:
    """Orders that are fine are read; members that nobody knows are ignored."""
    orders, faults = judge(begin(2), 1, [send() | {"note": 1}, {"order": "name", "planet": 1, "name": "New Ür"}])
    assert (orders, faults) == ([Send(1, 3, 5), Rename(1, "New Ür")], [])


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (None, "bad_order"), (7, "bad_order"), ("send", "bad_order"), ([], "bad_order"), ({}, "bad_order"),
        ({"order": "burn"}, "bad_order"), ({"order": ["send"]}, "bad_order"),
        (send(origin=True), "bad_number"), (send(ships=0), "bad_number"), (send(ships=-3), "bad_number"),
        (send(ships=1.5), "bad_number"), (send(ships="5"), "bad_number"), (send(ships=10**4000), "bad_number"),
        (send(target=None), "bad_number"), ({"order": "send"}, "bad_number"),
        (send(origin=3, target=1), "not_yours"), (send(origin=2), "unknown_planet"),
        (send(target=999), "unknown_planet"),
        (send(target=1), "same_planet"), (send(ships=13), "not_enough_ships"),
        ({"order": "name", "planet": 3, "name": "x"}, "not_yours"), ({"order": "name", "planet": 1}, "bad_name"),
        *(({"order": "name", "planet": 1, "name": name}, "bad_name") for name in
          ["", " ", "a\nb", "a\x1b[31m", "a  b", " a", "x" * 25, "\ud800", "\u202eevil", 5]),
    ],
)  # fmt: skip
def test_refused(order: object, code: str) -> None:
    """Each fault has its code and the order's index, and a message that a person can read."""
    _, faults = judge(begin(2), 1, [send(), order])
    assert [(fault.index, fault.code) for fault in faults] == [(1, code)]
    assert 10 < len(faults[0].message) < 200


def test_ships_are_counted_together() -> None:
    """Two fleets cannot take the same ships."""
    _, faults = judge(begin(2), 1, [send(ships=8), send(ships=5), send(ships=4)])
    assert [(fault.index, fault.code) for fault in faults] == [(1, "not_enough_ships")]


def test_too_many() -> None:
    """A set has a limit, and is refused as a whole beyond it."""
    name = {"order": "name", "planet": 1, "name": "x"}
    assert judge(begin(2), 1, [name] * MOST)[1] == []
    assert [(fault.index, fault.code) for fault in judge(begin(2), 1, [name] * (MOST + 1))[1]] == [(None, "too_many")]


def test_refusals_do_not_draw_the_map() -> None:
    """A planet out of sight is refused with the words for one that does not exist."""
    game = begin(3)
    hidden = min(set(game.planets) - set(game.seats[1].seen))
    assert judge(game, 1, [send(target=hidden)]) == judge(game, 1, [send(target=9999)])
    assert judge(game, 1, [send(origin=hidden)]) == judge(game, 1, [send(origin=9999)])


def test_out() -> None:
    """Who is out gives no orders, not even an empty set."""
    game = begin(2)
    game.seats[1].out = 3
    assert judge(game, 1, []) == ([], [Fault(None, "out", "You are out of the game.")])


@given(st.lists(MEMBERS | JSON, max_size=6))
def test_rubbish(raw: list[object]) -> None:
    """Whatever is sent is judged; what passes is what the schema for clients describes."""
    orders, faults = judge(begin(2), 1, raw)
    assert len(orders) + len(faults) == len(raw)
    if not faults:
        validator = Draft202012Validator(SCHEMA)
        assert all(validator.is_valid(order) for order in raw)


@given(st.text(), st.integers(1, 50))
def test_tidy(text: str, length: int) -> None:
    """Tidied text is one printable line within its length, and stays as it is when tidied again."""
    tidied = tidy(text, length)
    assert len(tidied) <= length
    assert tidied.isprintable()
    assert tidy(tidied, length) == tidied
