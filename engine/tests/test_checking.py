"""A position is held against its game."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from galaxy_engine import limits
from galaxy_engine.checking import check_position
from galaxy_engine.failures import EngineInvalid, EngineTooLarge
from galaxy_engine.messages import Position

SEATS = (1, 2, 3)
REPORTS = {"1": {"text": "a"}, "2": {"data": [1]}, "3": {"more": True}}


def position(**members: Any) -> Position:
    return msgspec.convert({"turn": 4, "state": Raw(b"{}"), "reports": raw(REPORTS), **members}, Position)


def raw(reports: dict[str, Any]) -> dict[int, Raw]:
    return {int(seat): Raw(msgspec.json.encode(report)) for seat, report in reports.items()}


def test_a_fitting_position_passes() -> None:
    """Turn, reports and seats are right: nothing is raised."""
    check_position(position(), turn=4, seats=SEATS)
    check_position(
        position(
            eliminated=[2],
            awaiting=[1],
            finished=True,
            result={"winners": [1], "ranking": [[1], [2, 3]], "scores": {3: 1.5}},
            public_report=Raw(b'{"text":"hear"}'),
        ),
        turn=4,
        seats=SEATS,
    )


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"turn": 5}, "turn is 5, not 4"),
        ({"reports": raw({"1": {}, "3": {}})}, "no report for seat 2"),
        ({"reports": raw({**REPORTS, "4": {}})}, "a report for seat 4, which the game does not have"),
        ({"reports": raw({**REPORTS, "2": "text"})}, "the report of seat 2 is not a report"),
        ({"reports": raw({**REPORTS, "2": {"text": 7}})}, "the report of seat 2 is not a report"),
        ({"public_report": Raw(b"[]")}, "the public report is not a report"),
        ({"eliminated": [9]}, "eliminated has seat 9"),
        ({"awaiting": [9]}, "awaiting has seat 9"),
        ({"awaiting": [1, 2], "eliminated": [2]}, "awaiting has seat 2, which is eliminated"),
        ({"finished": True}, "finished without a result"),
        ({"result": {"winners": [4]}}, "the result has seat 4"),
        ({"result": {"ranking": [[1], [5]]}}, "the result has seat 5"),
        ({"result": {"scores": {6: 1}}}, "the result has seat 6"),
    ],
)
def test_each_misfit_is_named(members: dict[str, Any], said: str) -> None:
    """What does not fit is said in words."""
    with pytest.raises(EngineInvalid, match=said):
        check_position(position(**members), turn=4, seats=SEATS)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"state": Raw(b'"' + b"x" * limits.STATE_BYTES + b'"')}, "the state has"),
        ({"reports": raw({**REPORTS, "1": {"text": "x" * limits.REPORT_BYTES}})}, "a report has more than"),
        ({"public_report": Raw(msgspec.json.encode({"text": "x" * limits.REPORT_BYTES}))}, "a report has more than"),
    ],
)
def test_each_part_has_its_limit(members: dict[str, Any], said: str) -> None:
    """A state or report beyond its limit is too large, not invalid."""
    with pytest.raises(EngineTooLarge, match=said):
        check_position(position(**members), turn=4, seats=SEATS)


def test_reports_have_a_limit_together() -> None:
    """Nine reports, each below its limit, may be too large together."""
    large = raw({str(seat): {"text": "x" * (limits.REPORT_BYTES - 100)} for seat in range(1, 10)})
    with pytest.raises(EngineTooLarge, match="the reports have"):
        check_position(position(reports=large), turn=4, seats=range(1, 10))


def test_everything_found_is_said_at_once() -> None:
    """One failure lists all misfits."""
    with pytest.raises(EngineInvalid, match="turn is 7, not 4; no report for seat 2"):
        check_position(position(turn=7, reports=raw({"1": {}, "3": {}})), turn=4, seats=SEATS)


@pytest.mark.parametrize("where", ["phase", "result"])
def test_texts_without_the_character_nul(where: str) -> None:
    """Phase and result's text are kept by a database that has no U+0000."""
    document = {"turn": 0, "state": {}, "reports": {"1": {}}, "phase": "a\0b"}
    if where == "result":
        document |= {"phase": None, "finished": True, "result": {"text": "a\0b"}}
    position = msgspec.json.decode(msgspec.json.encode(document), type=Position)
    with pytest.raises(EngineInvalid, match=r"U\+0000"):
        check_position(position, turn=0, seats=(1,))
