"""Tells of what becomes of a queue's rows: log lines, counters, and how many are waiting."""

import logging
from collections import Counter

from opentelemetry.metrics import Meter
from structlog.typing import FilteringBoundLogger

from galaxy_kernel.database import Connection
from galaxy_kernel.queue import DEPTH, LeasedQueue, Outcome, Result

_LEVELS = {Outcome.RETRYING.value: logging.INFO, Outcome.DEAD_LETTERED.value: logging.WARNING}
"""How loudly an attempt is told of, by what became of its row; what went well is for debugging."""


class Attempts:
    """The attempts of one plugin's queue: `<plugin>_attempt` in the log, `<plugin>.attempts` and `<plugin>.queued`."""

    def __init__(self, plugin: str, queue: LeasedQueue, *, log: FilteringBoundLogger, meter: Meter) -> None:
        self._event, self._queue, self._log = f"{plugin}_attempt", queue, log
        self._outcomes: Counter[tuple[tuple[str, str], ...]] = Counter()
        """Attempts since the last hand-over, by outcome and labels."""
        self._attempts = meter.create_counter(f"{plugin}.attempts", description="Attempts to deliver, by outcome.")
        self._queued = meter.create_gauge(f"{plugin}.queued", description=f"Rows still to deliver, at most {DEPTH:,}.")

    def note(self, result: Result, labels: dict[str, str], **fields: object) -> None:
        """Tell of one attempt, in `working` under the request id of its row; `fields` are for the log alone."""
        state = self._queue.state_after(result)
        self._log.log(
            _LEVELS.get(state, logging.DEBUG),
            self._event,
            **labels,
            **fields,
            attempt_no=result.claim.attempt,
            outcome=state,
        )
        self._outcomes[(("outcome", state), *labels.items())] += 1

    def hand_over(self) -> None:
        """Give the attempts so far to the meter, all at once."""
        for labels, number in self._outcomes.items():
            self._attempts.add(number, dict(labels))
        self._outcomes.clear()

    async def gauge(self, connection: Connection) -> None:
        """Look how many rows are waiting."""
        self._queued.set(await self._queue.depth(connection))
