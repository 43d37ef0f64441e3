"""Problem documents (RFC 9457) and the problems that come up everywhere."""

from typing import Any

import pytest

from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.http.problems import FieldError, Problem, conflict, invalid, not_found, throttled


def test_a_document_has_the_members_of_the_rfc_and_a_stable_code() -> None:
    """Title and type say nothing that the status does not; code, detail and request id are ours."""
    assert Problem(404, "not_found", "There is no such mail.").document("r-1") == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "not_found",
        "detail": "There is no such mail.",
        "request_id": "r-1",
    }


def test_bad_fields_are_listed_in_their_order() -> None:
    """`errors` is there only where there are any."""
    faults = [FieldError("b.1", "is required"), FieldError("a", "must be a string")]
    document = Problem(422, "invalid_request", "b.1: is required", faults=faults).document("r-1")
    assert document["errors"] == [
        {"field": "b.1", "message": "is required"},
        {"field": "a", "message": "must be a string"},
    ]


def test_a_problem_is_one_of_our_exceptions() -> None:
    """It shows status and code in a traceback."""
    problem = Problem(409, "already_started", "The game runs.")
    assert isinstance(problem, GalaxyError)
    assert str(problem).startswith("409 already_started")


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (not_found("mail"), 404, "not_found"),
        (conflict("already_started", "The game runs."), 409, "already_started"),
        (throttled("Slower.", 3), 429, "too_many_requests"),
        (invalid("name", "is taken"), 422, "invalid_request"),
    ],
)
def test_common_problems(problem: Problem, status: int, code: str) -> None:
    """Each has its status and code."""
    assert (problem.status, problem.code) == (status, code)
    assert problem.document("r")["status"] == status


@pytest.mark.parametrize(
    ("seconds", "header"), [(-1, "1"), (0, "1"), (0.2, "1"), (1, "1"), (1.01, "2"), (59.5, "60"), (60, "60")]
)
def test_retry_after_is_rounded_up(seconds: float, header: str) -> None:
    """Whoever comes back then is never too early, nor told to come back at once."""
    assert throttled("Slower.", seconds).headers == {"Retry-After": header}


def test_one_bad_field_is_named_in_detail_and_errors() -> None:
    """A person reads the detail, a program the list."""
    document: Any = invalid("schedule.interval", "must be at least 1 h").document("r")
    assert document["detail"] == "schedule.interval: must be at least 1 h"
    assert document["errors"] == [{"field": "schedule.interval", "message": "must be at least 1 h"}]


def test_headers_of_a_problem_are_its_own() -> None:
    """They are copied: the caller's mapping may be shared."""
    shared = {"Retry-After": "1"}
    Problem(503, "starting", "", headers=shared).headers["X"] = "1"
    assert shared == {"Retry-After": "1"}
