"""Whether the database takes writes, by the outcome of those that were made anyway.

A server whose disk is full, or that is a standby, answers every ping. Nothing is written to find out.
"""

import time
from collections.abc import Callable

from galaxy_kernel.database.errors import is_write_refused, reason

REFUSALS_UNTIL_FAILED = 3
FORGOTTEN_AFTER = 60.0
"""Seconds after the last refusal in which nobody tried again: it is not known then how things are."""


class WriteOutcomes:
    """How the last writes of one process went."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refused, self._last, self._reason = 0, float("-inf"), ""

    @property
    def in_doubt(self) -> bool:
        """Whether a write was refused, and none has succeeded since."""
        return self._refused > 0

    def failed(self, error: BaseException) -> None:
        """Note that a transaction failed, whatever the reason."""
        if is_write_refused(error):
            self._refused += 1
            self._last, self._reason = self._monotonic(), reason(error)

    def succeeded(self) -> None:
        """Note that a transaction that wrote was committed."""
        self._refused = 0

    def fault(self) -> str:
        """Return why the server refuses writes, where it has refused several in a row; else nothing."""
        if self._refused < REFUSALS_UNTIL_FAILED or self._monotonic() - self._last > FORGOTTEN_AFTER:
            return ""
        return self._reason
