"""The metrics of the kernel, and where their numbers come from."""

from collections.abc import Mapping

from opentelemetry.metrics import Meter

from galaxy_chassis.telemetry.instruments import Counter, Gauge, Reading
from galaxy_kernel.caches.registry import Caches
from galaxy_kernel.core.settings import KERNEL
from galaxy_kernel.database import Connection, Database
from galaxy_kernel.database.pool import WaitingPool
from galaxy_kernel.facts import Facts
from galaxy_kernel.http.service import HttpService
from galaxy_kernel.rpc.server import RpcServer
from galaxy_kernel.workers.supervisor import Supervisor

POOL_USED = Gauge("galaxy.postgres.connections.used", "Connections of the pool that are in use.", (), "{connection}")
POOL_LIMIT = Gauge("galaxy.postgres.connections.limit", "Connections that the pool opens at most.", (), "{connection}")
POOL_WAITING = Gauge(
    "galaxy.postgres.connections.waiting", "Tasks that wait for a connection, since all are in use.", (), "{task}"
)
HTTP_CONNECTIONS = Gauge("galaxy.http.connections", "Open client connections of the HTTP listener.", (), "{connection}")
HTTP_ENDED = Counter(
    "galaxy.http.connections.ended", "Client connections that a limit ended, by reason.", ("reason",), "{connection}"
)
RPC_CROWDED_OUT = Counter(
    "galaxy.rpc.health.crowded_out",
    "Health calls without the gateway's token that found no place.",
    unit="{call}",
)
PASSES = Counter(
    "galaxy.worker.passes",
    "Passes of workers: `worked`, `idle` (nothing to do), `standby` (another replica's turn) or `failed`.",
    ("worker", "outcome"),
)
CACHE_ROWS = Gauge("galaxy.cache.rows", "Rows of each cache in memory.", ("cache",), "{row}")
FEED_LAG = Gauge("galaxy.feed.lag", "Time since memory was known to be in step with the database.", unit="s")
FACTS_WAITING = Gauge("galaxy.facts.waiting", "Facts still to be delivered, by the plugin that listens.", ("listener",))
FACTS_OLDEST = Gauge("galaxy.facts.oldest_age", "Age of the oldest of them.", ("listener",), "s")
MEASURED = (FACTS_WAITING, FACTS_OLDEST)
"""What the worker `kernel.measure` reads from the database."""
MEASURE_WORKER = f"{KERNEL}.measure"


def observe_database(meter: Meter, database: Database) -> None:
    """Export how much of the pool is in use. The engine may replace its pool, so it is looked up each time."""

    def pool() -> WaitingPool:
        found = database.engine.pool
        if not isinstance(found, WaitingPool):
            raise TypeError("the engine was not made by make_engine, whose pool counts who waits")
        return found

    POOL_USED.observe(meter, lambda: pool().checkedout())
    POOL_LIMIT.observe(meter, lambda: pool().size())
    POOL_WAITING.observe(meter, lambda: pool().waiting)


def observe_listeners(meter: Meter, http: HttpService, rpc: RpcServer | None) -> None:
    """Export connections and calls."""
    HTTP_CONNECTIONS.observe(meter, lambda: http.server.connections)
    HTTP_ENDED.observe(meter, lambda: http.server.connections_ended)
    if rpc is not None:
        RPC_CROWDED_OUT.observe(meter, lambda: rpc.crowded_out)


def observe_work(meter: Meter, supervisor: Supervisor, caches: Caches) -> None:
    """Export what workers do, and what caches hold."""

    def lag() -> Reading:
        lag = caches.state.lag
        return {} if lag is None else lag

    PASSES.observe(meter, supervisor.outcomes)
    CACHE_ROWS.observe(meter, caches.sizes)
    FEED_LAG.observe(meter, lag)


async def measure_facts(facts: Facts, connection: Connection) -> Mapping[Gauge, Reading]:
    """Read how many facts wait for each listener, and for how long."""
    waiting = await facts.waiting(connection)
    return {
        FACTS_WAITING: {listener: number for listener, (number, _) in waiting.items()},
        FACTS_OLDEST: {listener: age for listener, (_, age) in waiting.items()},
    }
