"""What exporters say of a collector that cannot be reached."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from galaxy_chassis.telemetry.throttle import EVERY, Throttle

Logged = Callable[[], AbstractContextManager[list[dict[str, Any]]]]


def test_exporter_trouble_is_one_line_a_minute(logged: Logged) -> None:
    """Of any number of complaints one a minute is written, with the number held back since the last."""
    import logging

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
