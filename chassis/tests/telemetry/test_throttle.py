"""What exporters say of a collector that cannot be reached."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from galaxy_chassis.logs.pacing import EVERY
from galaxy_chassis.telemetry.throttle import Throttle, hold_back, release

Logged = Callable[[], AbstractContextManager[list[dict[str, Any]]]]


def test_exporter_trouble_is_one_line_a_minute(logged: Logged) -> None:
    """Of any number of warnings one a minute is written, with the number held back since the last."""
    now = 0.0
    with logged() as lines:
        throttle = Throttle(lambda: now)
        record = logging.makeLogRecord({"name": "opentelemetry.x", "msg": "gone: %s", "args": ("now",), "levelno": 40})
        for _ in range(100):
            throttle.handle(record)
        now = EVERY - 0.1
        throttle.handle(record)
        now = EVERY
        throttle.handle(record)
    assert [(line["detail"], line["held_back"]) for line in lines] == [("gone: now", 0), ("gone: now", 100)]


def test_a_message_that_does_not_fit_its_arguments_is_no_failure(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exporters' mistakes in logging are passed to the standard library's own handling."""
    handled: list[logging.LogRecord] = []
    throttle = Throttle(lambda: 0.0)
    monkeypatch.setattr(throttle, "handleError", handled.append)
    with logged() as lines:
        throttle.handle(logging.makeLogRecord({"name": "opentelemetry.x", "msg": "%d", "args": ("x",), "levelno": 40}))
    assert (len(handled), lines) == (1, [])


def test_lines_are_held_back_until_the_last_kernel_lets_go() -> None:
    """Two kernels in one process share the throttle; the libraries' loggers are left as they were."""
    logger = logging.getLogger("opentelemetry")
    before = (list(logger.handlers), logger.propagate)
    hold_back()
    hold_back()
    assert not logger.propagate
    assert len(logger.handlers) == len(before[0]) + 1
    release()
    assert not logger.propagate
    release()
    assert (list(logger.handlers), logger.propagate) == before
