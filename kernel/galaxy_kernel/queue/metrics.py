"""Observes a queue's rows: log lines and counters of attempts, and gauges of what waits and what has failed."""

import logging
from collections import Counter as Count
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.metrics import Meter
from structlog.typing import FilteringBoundLogger

from galaxy_chassis.telemetry.instruments import Counter, Gauge
from galaxy_kernel.database import Connection
from galaxy_kernel.queue.queue import COUNTED, LeasedQueue, Result


class QueueDeclarations(NamedTuple):
    """The metrics of one queue, as they are declared."""

    attempts: Counter
    queued: Gauge
    oldest_age: Gauge
    overdue: Gauge
    dead_letters: Gauge

    @property
    def gauges(self) -> tuple[Gauge, ...]:
        """What is read from the database, by `measure`."""
        return self.queued, self.oldest_age, self.overdue, self.dead_letters

    async def measure(self, queue: LeasedQueue, connection: Connection) -> Mapping[Gauge, float]:
        """Read the queue's backlog."""
        return dict(zip(self.gauges, await queue.backlog(connection), strict=True))


def declare_queue(plugin: str, rows: str, *labels: str) -> QueueDeclarations:
    """Declare the metrics of a plugin's queue; its attempts are counted by these labels, besides their outcome.

    `rows` is what the queue holds, in the plural: it begins the descriptions.
    """
    return QueueDeclarations(
        Counter(f"{plugin}.attempts", f"Attempts at {rows}, by outcome.", ("outcome", *labels)),
        Gauge(f"{plugin}.queued", f"{rows.capitalize()} that wait, {COUNTED:,} at most."),
        Gauge(f"{plugin}.oldest_age", f"Age of the oldest of the {rows} that wait.", unit="s"),
        Gauge(f"{plugin}.overdue", f"How long the {rows} that wait have been due, at most.", unit="s"),
        Gauge(f"{plugin}.dead_letters", f"{rows.capitalize()} that are dead letters now, {COUNTED:,} at most."),
    )


class QueueMetrics:
    """The attempts of one plugin's queue: `<plugin>_attempt` in the log, and the declared counter."""

    def __init__(
        self, plugin: str, queue: LeasedQueue, declared: QueueDeclarations, *, log: FilteringBoundLogger, meter: Meter
    ) -> None:
        self._event, self._queue, self._log = f"{plugin}_attempt", queue, log
        self._names = declared.attempts.labels
        self._levels = {queue.states.retrying: logging.INFO, queue.states.dead_lettered: logging.WARNING}
        """The log level of an attempt, by the state of its row; successes are for debugging."""
        self._outcomes: Count[tuple[str, ...]] = Count()
        """Attempts since the last report to the meter, by outcome and labels."""
        self._attempts = declared.attempts.on(meter)

    def note(self, result: Result, *labels: str, **fields: object) -> None:
        """Report one attempt, under the request id of its row; `fields` are for the log alone."""
        state = self._queue.state_after(result)
        level = self._levels.get(state, logging.DEBUG)
        if self._log.is_enabled_for(level):
            named = dict(zip(self._names[1:], labels, strict=True))
            self._log.log(level, self._event, **named, **fields, attempt_no=result.claim.attempt, outcome=state)
        self._outcomes[state, *labels] += 1

    def hand_over(self) -> None:
        """Report the attempts so far to the meter, all at once."""
        for labels, number in self._outcomes.items():
            self._attempts.add(number, dict(zip(self._names, labels, strict=True)))
        self._outcomes.clear()
