"""Observes a queue's rows: log lines and counters of attempts, and a gauge of waiting rows."""

import logging
from collections import Counter

from opentelemetry.metrics import Meter
from structlog.typing import FilteringBoundLogger

from galaxy_kernel.database import Connection
from galaxy_kernel.queue.queue import DEPTH, LeasedQueue, Result


class QueueMetrics:
    """The attempts of one plugin's queue: `<plugin>_attempt` in the log, `<plugin>.attempts` and `<plugin>.queued`."""

    def __init__(self, plugin: str, queue: LeasedQueue, *labels: str, log: FilteringBoundLogger, meter: Meter) -> None:
        """Set the labels by which attempts are counted, besides their outcome."""
        self._event, self._queue, self._labels, self._log = f"{plugin}_attempt", queue, labels, log
        self._levels = {queue.states.retrying: logging.INFO, queue.states.dead_lettered: logging.WARNING}
        """The log level of an attempt, by the state of its row; successes are for debugging."""
        self._outcomes: Counter[tuple[str, ...]] = Counter()
        """Attempts since the last report to the meter, by outcome and labels."""
        self._attempts = meter.create_counter(f"{plugin}.attempts", description="Attempts to deliver, by outcome.")
        self._queued = meter.create_gauge(f"{plugin}.queued", description=f"Rows still to deliver, at most {DEPTH:,}.")

    def note(self, result: Result, *labels: str, **fields: object) -> None:
        """Report one attempt, under the request id of its row; `fields` are for the log alone."""
        state = self._queue.state_after(result)
        level = self._levels.get(state, logging.DEBUG)
        if self._log.is_enabled_for(level):
            named = dict(zip(self._labels, labels, strict=True))
            self._log.log(level, self._event, **named, **fields, attempt_no=result.claim.attempt, outcome=state)
        self._outcomes[state, *labels] += 1

    def hand_over(self) -> None:
        """Report the attempts so far to the meter, all at once."""
        for labels, number in self._outcomes.items():
            self._attempts.add(number, dict(zip(("outcome", *self._labels), labels, strict=True)))
        self._outcomes.clear()

    async def gauge(self, connection: Connection) -> None:
        """Update the number of waiting rows."""
        self._queued.set(await self._queue.depth(connection))
