"""Conditions of the database that pass are recognised, and logged once a minute."""

import pytest
import structlog
from structlog.testing import capture_logs

from galaxy_kernel.database.conditions import BUSY, UNAVAILABLE, Condition, Conditions


class WithCode(Exception):
    """An error as a driver raises it."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("as the server says")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (ConnectionRefusedError(), UNAVAILABLE),
        (WithCode("53300"), UNAVAILABLE),
        (WithCode("55P03"), BUSY),
        (WithCode("23505"), None),
        (ValueError("a bug"), None),
    ],
)
def test_what_passes_is_recognised(error: Exception, condition: Condition | None) -> None:
    """What comes from the server's state has an answer of its own; what comes from our code has none."""
    with capture_logs() as lines:
        assert Conditions(structlog.get_logger()).noted(error, route="/x") is condition
    assert [line["event"] for line in lines] == ([] if condition is None else [condition.code])
    assert all("exc_info" not in line and line["route"] == "/x" for line in lines)


def test_each_condition_is_logged_once_a_minute() -> None:
    """A thousand calls leave one line of each."""
    conditions = Conditions(structlog.get_logger())
    with capture_logs() as lines:
        for _ in range(1_000):
            conditions.noted(WithCode("53100"))
            conditions.noted(WithCode("55P03"))
    assert sorted(line["event"] for line in lines) == sorted([UNAVAILABLE.code, BUSY.code])
