"""A state in a report is found, however it got there; what a report may have in common with it is not."""

import json
from typing import Any

import msgspec
import pytest

from galaxy_engine.kit.leaks import state_in_reports
from galaxy_engine.messages import Position

STATE = {"secret": [number * 7919 % 1000 for number in range(100)], "board": "." * 50}


def position(report: Any, public: Any = None, state: Any = STATE) -> Position:
    document = {"turn": 1, "state": state, "reports": {"1": report}, "public_report": public}
    return msgspec.json.decode(json.dumps(document), type=Position)


@pytest.mark.parametrize(
    "report",
    [
        {"data": STATE},
        {"data": {"deep": [1, {"in": STATE}]}},
        {"text": json.dumps(STATE)},
        {"text": f"debug: {json.dumps(STATE)} end"},
        {"data": {"board": STATE["board"], "secret": STATE["secret"]}},
    ],
)
def test_the_whole_state(report: Any) -> None:
    """As a value, as text, in another order."""
    assert [leak.whole for leak in state_in_reports(position(report))] == [True]


@pytest.mark.parametrize("first", [0, 1, 17, 40])
def test_a_part_of_the_state(first: int) -> None:
    """Two hundred characters of it, wherever they begin."""
    part = json.dumps(STATE["secret"][first : first + 55])[1:-1]
    assert len(part) >= 200
    assert [leak.whole for leak in state_in_reports(position({"text": part}))] == [False]


def test_what_reports_may_have_in_common_with_the_state() -> None:
    """Short pieces, and states that are short as a whole."""
    assert not list(state_in_reports(position({"data": STATE["board"], "text": json.dumps(STATE["secret"][:20])})))
    assert not list(state_in_reports(position({"data": {"a": 1}}, state={"a": 1})))


def test_the_public_report() -> None:
    """Spectators' report is looked at too."""
    assert [leak.where for leak in state_in_reports(position({}, {"data": STATE}))] == ["the public report"]
