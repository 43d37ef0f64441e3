"""Logging as a whole: the shape of a line, levels, both logging libraries, and access lines."""

import logging
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from galaxy_chassis import logs
from galaxy_chassis.logs import (
    get_logger,
    log_request,
    log_unrouted_request,
)
from galaxy_chassis.request_context import RequestContext, current_request, request_context


def test_a_line_is_json_with_time_level_event_and_logger(log: Any) -> None:
    """A line has an RFC 3339 time in UTC, level, event, logger and the event's fields."""
    before = datetime.now(UTC)
    get_logger("galaxy_mail", plugin="mail").info("sent", attempt=2, ratio=0.5, ok=True, nothing=None)
    (line,) = log.lines
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {
        "level": "info", "event": "sent", "logger": "galaxy_mail", "plugin": "mail",
        "request_id": "", "otel_trace_id": "", "otel_span_id": "",
        "attempt": 2, "ratio": 0.5, "ok": True, "nothing": None,
    }  # fmt: skip


def test_a_line_inside_a_work_carries_its_ids(log: Any) -> None:
    """Inside a request context every line carries its four ids, those of standard-library loggers included."""
    token = current_request.set(RequestContext("request-1", "mail", "t" * 32, "s" * 16))
    get_logger("ours").info("one")
    logging.getLogger("theirs").info("two %s", 2)
    current_request.reset(token)
    ours, theirs = log.lines
    for line in (ours, theirs):
        assert (line["request_id"], line["plugin"]) == ("request-1", "mail")
        assert (line["otel_trace_id"], line["otel_span_id"]) == ("t" * 32, "s" * 16)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("two 2", "theirs", "info")


def test_a_logger_of_a_plugin_keeps_its_plugin(log: Any) -> None:
    """A plugin's own logger names that plugin, whichever plugin's request it runs in."""
    with request_context("auth") as context:
        get_logger("galaxy_mail", plugin="mail").info("queued")
    (line,) = log.lines
    assert (line["plugin"], line["request_id"]) == ("mail", context.request_id)


def test_a_line_that_nothing_claims_is_the_processs(make_log: Callable[..., Any]) -> None:
    """Outside any request context a line without a plugin of its own has the process's: `kernel`, or `gateway`."""
    for options, expected in (({}, "kernel"), ({"process": "gateway"}, "gateway")):
        log = make_log(**options)
        get_logger("galaxy_chassis.telemetry").warning("telemetry_export_failed")
        logging.getLogger("aiohttp.server").warning("theirs")
        get_logger("galaxy_mail", plugin="mail").info("its own")
        assert [line["plugin"] for line in log.lines] == [expected, expected, "mail"]


def test_a_field_never_overwrites_the_kernels(log: Any) -> None:
    """A field that has the name of one of the kernel's is kept beside it."""
    get_logger("x").info("said", timestamp="yesterday", level="top", request_id="mine")
    (line,) = log.lines
    assert (line["timestamp_"], line["level_"], line["request_id_"]) == ("yesterday", "top", "mine")
    assert line["level"] == "info"


def test_an_access_line_stands_like_any_other(log: Any) -> None:
    """It has an ordinary line's fields in the same order, and keeps its place among the others."""
    request_context = RequestContext("request-1", "user", "t" * 32, "s" * 16)
    token = current_request.set(request_context)
    get_logger("galaxy_kernel.http").info("request", method="GET", route="/a/{id}", status=200, duration_ms=1.5)
    log_request(request_context, "GET", "/a/{id}", 200, 0.0015)
    get_logger("x").info("after")
    current_request.reset(token)
    ordinary, line, after = log.lines
    assert ordinary.pop("timestamp") <= line.pop("timestamp") <= after["timestamp"]
    assert list(line.items()) == list(ordinary.items())


def test_a_request_without_a_route_has_its_path_scrubbed_and_cut(log: Any) -> None:
    """What was asked for in vain can be seen, but neither an address nor more than a line's worth of it."""
    context = RequestContext("request-1", "kernel", "t" * 32)
    log_unrouted_request(context, "GET", "/api/v2/ann@example.org/" + "x" * 500, 404, 0.0015)
    assert current_request.get() is None
    (line,) = log.lines
    assert (line["event"], line["method"], line["route"], line["status"]) == ("request", "GET", None, 404)
    assert (line["request_id"], line["otel_trace_id"], line["duration_ms"]) == ("request-1", "t" * 32, 1.5)
    assert line["path"].startswith("/api/v2/email:")
    assert (len(line["path"]), "ann" in line["path"]) == (200, False)


@pytest.mark.parametrize(
    ("level", "pretty", "expected"), [("warning", False, 0), ("info", True, 1), ("debug", False, 1)]
)
def test_an_access_line_has_its_level_and_dress(
    make_log: Callable[..., Any], level: str, pretty: bool, expected: int
) -> None:
    """It is of level info, and pretty where lines are."""
    log = make_log(level, pretty=pretty)
    log_request(RequestContext("request-1", "user"), "GET", None, 404, 0.001)
    lines = log.text.splitlines()
    assert len(lines) == expected
    assert not any(line.startswith("{") == pretty for line in lines)


def test_an_exception_stands_in_the_line(log: Any) -> None:
    """A traceback is one field of one line, from our loggers and the standard library's."""
    try:
        raise ValueError("wrong")
    except ValueError as error:
        get_logger("ours").exception("failed")
        get_logger("ours").error("failed", exc_info=error)
        logging.getLogger("theirs").exception("failed")
    for line in log.lines:
        assert line["level"] == "error"
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: wrong")


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_not_written(make_log: Callable[..., Any], level: str, expected: int) -> None:
    """The level holds for our loggers and the standard library's, made before or after it was set."""
    early = get_logger("early")
    log = make_log(level)
    for each in (early, get_logger("late"), logging.getLogger("theirs")):
        each.debug("d")
        each.info("i")
        each.warning("w")
        each.error("e")
    assert len(log.lines) == 3 * expected


def test_libraries_that_say_too_much_are_kept_down(log: Any) -> None:
    """SQLAlchemy's statements are not logged at level info, warnings of Python are."""
    logging.getLogger("sqlalchemy.engine").info("SELECT 1")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert [line["logger"] for line in log.lines] == ["py.warnings"]


def test_closing_gives_the_defaults_back(make_log: Callable[..., Any]) -> None:
    """After `close` neither logging library writes to us, and a second configuration replaces the first."""
    first, second = make_log(), make_log()
    get_logger("x").info("one")
    second.logging.close()
    assert first.text == ""
    assert [line["event"] for line in second.lines] == ["one"]
    assert not structlog.is_configured()
    logging.getLogger("x").warning("late")
    assert len(second.lines) == 1


def test_structlogs_own_test_helper_works(log: Any) -> None:
    """`structlog.testing.capture_logs` sees the lines of loggers made before it."""
    logger = get_logger("x", plugin="mail")
    logger.info("before")
    with structlog.testing.capture_logs() as captured:
        logger.info("inside", n=1)
    assert captured == [{"event": "inside", "n": 1, "plugin": "mail", "log_level": "info"}]


def test_no_logger_of_the_chassis_names_a_process() -> None:
    """It is in the gateway as well as in the backend: which one it is, only the process knows."""
    package = Path(logs.__file__).parents[1]
    assert [
        path.name
        for path in package.rglob("*.py")
        if "get_logger(" in path.read_text() and ', plugin="' in path.read_text()
    ] == []
