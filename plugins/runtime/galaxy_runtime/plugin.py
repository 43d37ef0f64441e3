"""The plugin: wiring only."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.runtime import RUNTIME
from galaxy_contracts.turns import TURN_POLICIES
from galaxy_kernel.api import Cache, Context, Manifest, Migrations, Offer, Probe, Route, Worker
from galaxy_runtime.caches import records_cache
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.drivers import Drivers
from galaxy_runtime.engines import workers as engine_workers
from galaxy_runtime.engines.acting import EngineActions
from galaxy_runtime.engines.host import EngineHost
from galaxy_runtime.engines.service import EngineService
from galaxy_runtime.notices import TURN_FAILED, Notices
from galaxy_runtime.operations import routes as operation_routes
from galaxy_runtime.operations import workers as operation_workers
from galaxy_runtime.operations.replacing import Replacements
from galaxy_runtime.operations.running import OperationRunner
from galaxy_runtime.operations.service import OperationService
from galaxy_runtime.operations.starting import Beginnings
from galaxy_runtime.orders.service import OrderService
from galaxy_runtime.policies import Policies
from galaxy_runtime.records.service import RecordService
from galaxy_runtime.service import RuntimeService
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable
from galaxy_runtime.tables import metadata


class RuntimePlugin:
    """Engines, time and positions of games."""

    manifest = Manifest(
        name="runtime",
        summary="Engines, time and positions of games.",
        settings=RuntimeSettings,
        provides=(RUNTIME, TURN_POLICIES),
        requires=(ENGINE_VERSIONS, NOTIFICATIONS),
    )

    def __init__(self, context: Context[RuntimeSettings]) -> None:
        self._context, self._cache = context, records_cache()
        self.time, self._table, self._policies = DatabaseTime(), ObservingTable(), Policies()
        self._notices = Notices(context)
        self._records = RecordService(context, self._cache, self.time, self._table)
        self._drivers = Drivers(context)
        self._host = EngineHost(context, self._drivers)
        actions = EngineActions(context, self._host, self._records, self._notices)
        self._engines = EngineService(context, self._cache, self.time, self._host, actions)
        self._operations = OperationService(context, self._cache, self.time)
        beginnings = Beginnings(context, self._cache, self.time, self._table)
        replacements = Replacements(context, self._cache, self._engines)
        self._runner = OperationRunner(context, self._cache, self._engines, beginnings, replacements)
        orders = OrderService(context, self._cache, self.time, self._engines)
        self._service = RuntimeService(
            context, self._cache, self._table, self._policies, self._records, self._operations, orders
        )

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_runtime.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        self._context.require(NOTIFICATIONS).register(TURN_FAILED)
        self._context.require(ENGINE_VERSIONS).register_drivers(self._drivers)
        watching = asyncio.create_task(self._engines.watch(), name="hints of the engines' host")
        try:
            yield (Offer(RUNTIME, self._service), Offer(TURN_POLICIES, self._policies))
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await self._runner.close()
            await self._engines.close()
            await self._host.close()

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._cache,)

    def backend_probes(self) -> Sequence[Probe]:
        return (Probe("host", self._engines.health),)

    def backend_routes(self) -> Sequence[Route]:
        return operation_routes.routes(self._operations)

    def backend_workers(self) -> Sequence[Worker]:
        return (
            *engine_workers.workers(self._context, self._engines),
            *operation_workers.workers(self._runner),
        )
