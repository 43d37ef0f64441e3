"""Errors from answers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_client.errors import FieldError, InvalidError, ProblemError, UnavailableError, problem, retry_after

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def test_a_problem_document() -> None:
    """Everything that the document says is on the error."""
    body = b'{"code":"invalid_request","detail":"Bad.","request_id":"r","errors":[{"field":"a.b","message":"m"}],"x":1}'
    error = problem(422, {"Retry-After": "7"}, body, NOW)
    assert type(error) is InvalidError
    assert (error.status, error.code, error.detail, error.request_id) == (422, "invalid_request", "Bad.", "r")
    assert (error.fields, error.retry_after) == ((FieldError("a.b", "m"),), 7.0)
    assert str(error) == "422 invalid_request: Bad.; a.b: m"


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_body(status: int, body: bytes) -> None:
    """An answer of a proxy, whatever it is, makes an error with its status."""
    error = problem(status, {"X-Request-Id": "r"}, body, NOW)
    assert (error.status, bool(error.code), bool(error.detail)) == (status, True, True)


def test_a_proxys_page() -> None:
    """A page has no code: the status stands for it."""
    error = problem(502, {}, b"<html>Bad gateway</html>", NOW)
    assert isinstance(error, UnavailableError)
    assert error.code == "status_502"
    assert type(problem(418, {}, b"", NOW)) is ProblemError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Sat, 28 Nov 2026 12:01:30 GMT", 90.0),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 400, None),
        ("٣", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds or a date; what is neither is as if it were absent."""
    assert retry_after(value, NOW) == seconds
