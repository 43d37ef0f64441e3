"""Snapshots."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_game.model import canonical, dump, load
from galaxy_game.orders import Rename

from .playing import begin, suggested, watch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("seats", [2, 5, 8])
def test_round_trip(seats: int) -> None:
    """Every position of a game comes back from its snapshot as it was, and is written as the same bytes."""
    game = begin(seats)
    for turn, _ in enumerate(
        watch(
            game, "seed", lambda game, seed: suggested(game, seed) | ({1: [Rename(1, "Ü")]} if game.turn == 0 else {})
        )
    ):
        written = canonical(dump(game))
        again = load(json.loads(written))
        assert again == game
        assert canonical(dump(again)) == written
        if turn > 8:
            break
    assert game.seats[1].names == {1: "Ü"}


def test_order_of_members_is_free() -> None:
    """A host may write the members of a snapshot in another order."""
    state = json.loads(canonical(dump(begin(2))))
    assert load(dict(reversed(list(state.items())))) == begin(2)


@given(JSON)
def test_rubbish(value: object) -> None:
    """What no engine wrote is refused."""
    with pytest.raises(ValueError, match=r"snapshot|surrogates"):
        load(value)


@pytest.mark.parametrize("change", [{"format": 2}, {"game": None}, {"digest": None}, {"game": {"turn": 1}}])
def test_changed(change: dict[str, Any]) -> None:
    """A snapshot that was changed is refused, whatever was changed."""
    with pytest.raises(ValueError, match="snapshot"):
        load(dump(begin(2)) | change)


def test_small() -> None:
    """The largest game's snapshot stays far below the limit, and does not grow with its turns."""
    game = begin(8, options=None)
    sizes = [len(canonical(dump(game))) for _ in watch(game, "small")]
    assert max(sizes) < 64 * 1024
    assert sizes[-1] < 2 * max(sizes[10:20])
