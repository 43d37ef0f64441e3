"""Gauges whose numbers are in the database: read by a worker at an interval, not when somebody collects metrics.

Every replica reads its own, so none exports what another one has found out. A reading that fails leaves a gap instead
of the numbers of before, and never makes a backend unready.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from opentelemetry.metrics import Meter
from structlog.typing import FilteringBoundLogger

from galaxy_chassis.telemetry.instruments import Gauge, Reading
from galaxy_kernel.database import Connection, Database, is_unavailable
from galaxy_kernel.workers.worker import Worker

INTERVAL = timedelta(seconds=15)
"""Between two readings: as often as Prometheus looks in many set-ups."""

Measure = Callable[[Connection], Awaitable[Mapping[Gauge, Reading]]]
"""Reads the numbers, by a cheap statement or two; the connection is in no transaction."""


class Measurements:
    """Some gauges of one plugin, and the worker that reads them."""

    def __init__(
        self,
        worker: str,
        measure: Measure,
        gauges: Sequence[Gauge],
        *,
        database: Database,
        meter: Meter,
        log: FilteringBoundLogger,
    ) -> None:
        """Register the gauges; `worker` is the worker's name, `<plugin>.measure`."""
        self._name, self._measure, self._database, self._log = worker, measure, database, log
        self._latest: Mapping[Gauge, Reading] = {}
        self._failing = False
        for gauge in gauges:
            gauge.observe(meter, partial(self._reading, gauge))

    def worker(self) -> Worker:
        """Return the worker, for every replica."""
        return Worker(self._name, self.run, INTERVAL)

    async def run(self) -> None:
        """Make one pass: read the numbers."""
        try:
            async with self._database.reading() as connection:
                self._latest = await self._measure(connection)
        except Exception as error:
            self._latest = {}
            if not self._failing:
                trace = None if is_unavailable(error) else error  # `/readyz` reports that Postgres is away
                self._log.warning("metrics_unread", worker=self._name, error=type(error).__name__, exc_info=trace)
            self._failing = True
        else:
            self._failing = False

    def _reading(self, gauge: Gauge) -> Reading:
        return self._latest.get(gauge, {})
