"""The kernel's metrics, as they are exported."""

import asyncio
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy.ext.asyncio import create_async_engine

from galaxy_chassis.clock import ManualClock
from galaxy_kernel.caches.feed import Feed
from galaxy_kernel.caches.registry import Caches
from galaxy_kernel.core import metrics
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.wakeups import Wakeups


class Exported:
    """A meter, and what a collection in another thread finds."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.meter = MeterProvider([self._reader], shutdown_on_exit=False).get_meter("test")

    def values(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}

        def collect() -> None:
            data: Any = self._reader.get_metrics_data()
            for metric in [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics:
                found.update(
                    {(metric.name, *point.attributes.values()): point.value for point in metric.data.data_points}
                )

        thread = threading.Thread(target=collect)
        thread.start()
        thread.join()
        return found


async def test_the_pool_is_seen_before_it_runs_short(empty_database: str) -> None:
    """In use, the limit, and who waits: also after the engine has replaced its pool."""
    exported, database = Exported(), Database(make_engine(empty_database, pool_size=1), "public")
    metrics.observe_database(exported.meter, database)
    await database.engine.dispose()
    name = "galaxy.postgres.connections."
    async with database.reading() as connection:
        await connection.execute(sa.text("SELECT 1"))
        waiting = asyncio.create_task(database.ping())
        async with asyncio.timeout(10):
            while exported.values()[f"{name}waiting",] < 1:
                await asyncio.sleep(0)
        assert exported.values() == {(f"{name}used",): 1, (f"{name}limit",): 1, (f"{name}waiting",): 1}
    await waiting
    await database.close()


async def test_a_pool_of_another_kind_is_not_measured_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Its numbers would be wrong: the log says which engine is needed."""
    exported = Exported()
    metrics.observe_database(exported.meter, Database(create_async_engine("postgresql+asyncpg://h/d"), "public"))
    assert exported.values() == {}
    assert "make_engine" in caplog.text


async def test_work_is_counted_and_caches_measured(empty_database: str) -> None:
    """Passes by worker and outcome, rows by cache, and the lag of the feed once it is known."""
    clock, database = ManualClock(), Database(make_engine(empty_database), "public")
    caches = Caches(database, Feed(database), Wakeups(database, silent=True), clock)

    class Supervised:
        def outcomes(self) -> dict[tuple[str, str], int]:
            return {("mail.deliver", "worked"): 3, ("mail.deliver", "failed"): 1}

    exported, supervisor = Exported(), Supervised()
    metrics.observe_work(exported.meter, supervisor, caches)  # type: ignore[arg-type]
    passes = {("galaxy.worker.passes", *key): number for key, number in supervisor.outcomes().items()}
    assert exported.values() == passes
    caches._position, caches._in_step_at = object(), 0.0  # type: ignore[assignment]
    clock.advance(timedelta(seconds=4))
    assert exported.values() == passes | {("galaxy.feed.lag",): 4.0}
    await database.close()


async def test_listeners_show_their_connections() -> None:
    """HTTP connections and what ended them, and the health calls that found no place where there is gRPC."""

    http: Any = SimpleNamespace(connections=3, connections_ended={"idle": 2}, crowded_out=5)
    http.server = http
    expected = {("galaxy.http.connections",): 3, ("galaxy.http.connections.ended", "idle"): 2}
    for rpc, more in ((None, {}), (http, {("galaxy.rpc.health.crowded_out",): 5})):
        exported = Exported()
        metrics.observe_listeners(exported.meter, http, rpc)
        assert exported.values() == expected | more
