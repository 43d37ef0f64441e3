"""The worker `runtime.measure`: reads which turns wait, and how engines are."""

from collections.abc import Mapping
from functools import partial

from galaxy_kernel.api import Connection, Context, Gauge, Measurements, Reading, Worker
from galaxy_runtime import metrics
from galaxy_runtime.clocks.queries import backlog
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines.domain import STATUSES
from galaxy_runtime.engines.queries import count_by_status
from galaxy_runtime.settings import RuntimeSettings

MEASURE_WORKER = "runtime.measure"


async def measure(time: DatabaseTime, connection: Connection) -> Mapping[Gauge, Reading]:
    """Read which turns wait, and how engines are."""
    due, late, overdue = await backlog(connection, metrics.LATE, metrics.COUNTED, time.shift)
    engines = await count_by_status(connection)
    return {
        metrics.TURNS_DUE: due,
        metrics.TURNS_LATE: late,
        metrics.TURNS_OVERDUE: overdue,
        metrics.ENGINES: {status: engines.get(status, 0) for status in STATUSES},
    }


def worker(context: Context[RuntimeSettings], time: DatabaseTime) -> Worker:
    """Return the worker."""
    return Measurements(
        MEASURE_WORKER,
        partial(measure, time),
        metrics.MEASURED,
        database=context.database,
        meter=context.meter,
        log=context.log,
    ).worker()
