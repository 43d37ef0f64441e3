"""Gauges that a worker reads from the database."""

from collections.abc import Mapping
from typing import Any

import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import text
from structlog.testing import capture_logs

from galaxy_chassis.telemetry.instruments import Gauge, Reading
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.workers.measurements import INTERVAL, Measurements

ROWS, BY_STATE = Gauge("test.rows", "Rows."), Gauge("test.states", "Rows by state.", ("state",))


class Measured:
    """Measurements of a statement that the test may break."""

    def __init__(self, database: Database) -> None:
        self._reader = InMemoryMetricReader()
        self.statement = "SELECT 7"
        self.measurements = Measurements(
            "test.measure",
            self._measure,
            (ROWS, BY_STATE),
            database=database,
            meter=MeterProvider([self._reader], shutdown_on_exit=False).get_meter("test"),
            log=structlog.get_logger(),
        )

    async def _measure(self, connection: Connection) -> Mapping[Gauge, Reading]:
        found = (await connection.execute(text(self.statement))).scalar_one()
        return {ROWS: found, BY_STATE: {"pending": found, "retrying": 0}}

    def exported(self) -> dict[tuple[str, ...], float]:
        data: Any = self._reader.get_metrics_data()
        metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return {
            (each.name, *point.attributes.values()): point.value for each in metrics for point in each.data.data_points
        }


async def test_numbers_are_read_by_the_worker_alone(empty_database: str) -> None:
    """Before its first pass nothing is exported, and a collection reads what the last pass found."""
    database = Database(make_engine(empty_database), "public")
    measured = Measured(database)
    worker = measured.measurements.worker()
    assert (worker.name, worker.interval, worker.singleton) == ("test.measure", INTERVAL, False)
    assert measured.exported() == {}
    await measured.measurements.run()
    measured.statement = "SELECT 8"
    expected = {("test.rows",): 7, ("test.states", "pending"): 7, ("test.states", "retrying"): 0}
    assert measured.exported() == measured.exported() == expected
    await database.close()


async def test_a_reading_that_fails_leaves_a_gap(empty_database: str) -> None:
    """Old numbers are not exported as if they were new; the pass does not fail, and it is logged once."""
    database = Database(make_engine(empty_database), "public")
    measured = Measured(database)
    await measured.measurements.run()
    measured.statement = "SELECT 1 / 0"
    with capture_logs() as lines:
        await measured.measurements.run()
        await measured.measurements.run()
    assert measured.exported() == {}
    assert [(line["event"], line["worker"]) for line in lines] == [("metrics_unread", "test.measure")]
    measured.statement = "SELECT 9"
    await measured.measurements.run()
    assert measured.exported()["test.rows",] == 9
    measured.statement = "SELECT 1 / 0"
    with capture_logs() as lines:
        await measured.measurements.run()
    assert len(lines) == 1
    await database.close()
