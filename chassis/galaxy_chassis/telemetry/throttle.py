"""Throttles the exporters' lines about a collector that cannot be reached: one a minute, not one an attempt."""

import logging
import threading
import time
from collections.abc import Callable

from galaxy_chassis.logs import get_logger
from galaxy_chassis.logs.pacing import Pace

_log = get_logger("galaxy_chassis.telemetry")


class Throttle(logging.Handler):
    """Receives the warnings and errors of the logger `opentelemetry` and passes on at most one a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._pace = Pace(monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        held_back = self._pace.due()
        if held_back is None:
            return
        try:
            _log.warning("telemetry_export_failed", detail=record.getMessage(), source=record.name, held_back=held_back)
        except Exception:  # the message does not fit its arguments
            self.handleError(record)


_lock = threading.Lock()
_throttle = Throttle()
_users = 0


def hold_back() -> None:
    """Throttle the process's OpenTelemetry log lines until as many `release`s."""
    global _users  # noqa: PLW0603  the standard library's loggers belong to the process
    with _lock:
        _users += 1
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(_throttle)
        logger.propagate = False


def release() -> None:
    """Undo one `hold_back`."""
    global _users  # noqa: PLW0603  see there
    with _lock:
        _users -= 1
        if _users == 0:
            logger = logging.getLogger("opentelemetry")
            logger.removeHandler(_throttle)
            logger.propagate = True
