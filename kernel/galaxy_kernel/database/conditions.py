"""Conditions of the database that pass: the answer to a caller for each, and one log line a minute."""

import msgspec
from structlog.typing import FilteringBoundLogger

from galaxy_chassis.logs.pacing import Pace
from galaxy_kernel.database.errors import is_busy, is_unavailable, reason, sqlstate


class Condition(msgspec.Struct, frozen=True):
    """A state of the database in which a call fails that may succeed when repeated."""

    code: str
    detail: str
    retry_after: int
    """Seconds."""


UNAVAILABLE = Condition(
    "database_unavailable", "Postgres cannot serve this just now; no change is known to have happened. Try again.", 2
)
BUSY = Condition("database_busy", "Others kept Postgres from this for too long; nothing has changed. Try again.", 1)


class Conditions:
    """Recognises the conditions for one listener, and logs them without a traceback.

    One line a minute of each: a database that is full for an hour would have one for every call.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._paces = {UNAVAILABLE.code: Pace(), BUSY.code: Pace()}

    def noted(self, error: BaseException, **where: str) -> Condition | None:
        """Return the condition that an error comes from, logged with `where`; None for any other error."""
        if is_unavailable(error):
            return self._note(UNAVAILABLE, error, where)
        return self._note(BUSY, error, where) if is_busy(error) else None

    def _note(self, condition: Condition, error: BaseException, where: dict[str, str]) -> Condition:
        held_back = self._paces[condition.code].due()
        if held_back is not None:
            about = {"error": type(error).__name__, "sqlstate": sqlstate(error), "reason": reason(error)}
            self._log.warning(condition.code, **where, **about, held_back=held_back)
        return condition
