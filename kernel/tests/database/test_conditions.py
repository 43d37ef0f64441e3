"""Conditions of the database that pass, as both listeners answer them."""

import pytest
from structlog.testing import CapturingLogger

from galaxy_kernel.database.conditions import BUSY, UNAVAILABLE, Condition, Conditions


class ServerError(Exception):
    """What a driver raises, as far as we look at it."""

    def __init__(self, code: str) -> None:
        super().__init__("the server's own words")
        self.sqlstate = code


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        *((ServerError(code), UNAVAILABLE) for code in ("08006", "53100", "53300", "57P01", "57P03", "25006")),
        *((ServerError(code), BUSY) for code in ("40001", "40P01", "55P03", "57014")),
        (ConnectionRefusedError("no"), UNAVAILABLE),
        *((ServerError("23505"), None), (ValueError("ours"), None)),
    ],
)
def test_what_passes_is_told_apart_from_what_does_not(error: Exception, condition: Condition | None) -> None:
    """A server that cannot serve for now, and one that others keep busy, are conditions; faults of ours are not."""
    assert Conditions(CapturingLogger()).noted(error) is condition  # type: ignore[arg-type] # all that is needed of it


def test_a_minute_of_one_condition_is_one_line() -> None:
    """Each has its own pace, and its line names where it was met, without a traceback."""
    log = CapturingLogger()
    conditions = Conditions(log)  # type: ignore[arg-type]
    for code in ("57P03", "53100", "40001", "57P03"):
        conditions.noted(ServerError(code), route="demo.show")
    lines = [(call.args[0], call.kwargs["sqlstate"]) for call in log.calls]
    assert lines == [("database_unavailable", "57P03"), ("database_busy", "40001")]
    assert all(call.kwargs["route"] == "demo.show" and "exc_info" not in call.kwargs for call in log.calls)
