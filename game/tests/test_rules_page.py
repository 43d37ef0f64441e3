"""RULES.md: its worked turn is played, its figures are those of the code."""

import json
import re
from pathlib import Path

from galaxy_game import rules
from galaxy_game.dice import Dice
from galaxy_game.engine import Engine
from galaxy_game.orders import MOST

PAGE = (Path(__file__).parents[1] / "RULES.md").read_text("utf-8")
BLOCKS = re.findall(r"```(?:json|text)\n(.*?)```", PAGE, flags=re.DOTALL)


def test_worked_turn() -> None:
    """The orders on the page, played, give the report on the page."""
    begin, orders, _, told = BLOCKS
    engine = Engine()
    engine.init(json.loads(begin))
    for seat, sent in json.loads(orders).items():
        assert json.loads(engine.order(int(seat), {"turn": 0, "orders": sent}))["accepted"]
    position = json.loads(engine.turn({"turn": 0, "seed": "2027", "absent": []}))
    assert position["reports"]["1"]["text"] == told.strip()


def test_worked_dice() -> None:
    """The battle on the page is reckoned as the page says."""
    dice = Dice("2027/0/3")
    nobody, ada = dice.between(90, 110), dice.between(90, 110)
    attack, defence = 8 * ada * 4, 4 * nobody * 5
    remain = -(-8 * (attack - defence) // attack)
    assert BLOCKS[2].splitlines() == [
        f"its people: 4 × {nobody} × 5 = {defence}",
        f"Ada:        8 × {ada} × 4 = {attack}",
        f"remain:     8 × ({attack} - {defence}) / {attack}, rounded up: {remain}",
    ]


def test_figures() -> None:
    """Shares, limits and patience are those of the code."""
    assert [rules.share(seats) for seats in (2, 3, 4, 5, 8)] == [60, 50, 50, 40, 40]
    assert f"At most {MOST} a turn" in PAGE
    assert f"({rules.Options().turns}, unless" in PAGE
    assert rules.PATIENCE == 3
