"""The plugin: wiring only."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.runtime import RUNTIME
from galaxy_contracts.turns import TURN_POLICIES
from galaxy_kernel.api import Cache, Context, DoctorCheck, Manifest, Migrations, Offer, Probe, Route, Worker
from galaxy_runtime import doctor, measuring
from galaxy_runtime.caches import records_cache
from galaxy_runtime.clocks import workers as clock_workers
from galaxy_runtime.clocks.service import ClockService
from galaxy_runtime.clocks.workers import Deadlines
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.dev.companion import PROCESSES
from galaxy_runtime.drivers import Drivers
from galaxy_runtime.engines import workers as engine_workers
from galaxy_runtime.engines.acting import EngineActions
from galaxy_runtime.engines.domain import Engines
from galaxy_runtime.engines.host import EngineHost
from galaxy_runtime.engines.leases import EngineLeases
from galaxy_runtime.engines.passes import EnginePasses
from galaxy_runtime.engines.places import Places
from galaxy_runtime.engines.service import EngineService
from galaxy_runtime.metrics import TurnMetrics
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
from galaxy_runtime.turns import thinning
from galaxy_runtime.turns import workers as turn_workers
from galaxy_runtime.turns.commit import Commits
from galaxy_runtime.turns.running import TurnRunner
from galaxy_runtime.turns.service import TurnService
from galaxy_runtime.turns.slots import Slots
from galaxy_runtime.turns.workers import TurnWorker


class RuntimePlugin:
    """Engines, time and positions of games."""

    manifest = Manifest(
        name="runtime",
        summary="Engines, time and positions of games.",
        settings=RuntimeSettings,
        provides=(RUNTIME, TURN_POLICIES),
        requires=(ENGINE_VERSIONS, NOTIFICATIONS),
        companions=(PROCESSES,),
    )

    def __init__(self, context: Context[RuntimeSettings], engines: Engines | None = None) -> None:
        self._context, self._cache = context, records_cache()
        self.time, self._table, self._policies = DatabaseTime(), ObservingTable(), Policies()
        self._notices = Notices(context)
        self._records = RecordService(context, self._cache, self.time, self._table)
        self._drivers = Drivers(context)
        self._host = EngineHost(context, self._drivers)
        leases = EngineLeases(context, self._cache, self.time)
        places = Places(context, self._cache, self.time)
        self._actions = EngineActions(context, self._host, leases, places, self._records, self._notices)
        self._engines = EngineService(context, self._cache, self.time, self._host, leases, self._actions)
        self._passes = EnginePasses(context, self._cache, self.time, self._host, self._actions, self._engines)
        used = self._engines if engines is None else engines
        self._operations = OperationService(context, self._cache, self.time, self._table)
        beginnings = Beginnings(context, self._cache, self.time, self._table, self._notices)
        replacements = Replacements(context, used)
        self._runner = OperationRunner(context, self._cache, used, beginnings, replacements)
        self._metrics = TurnMetrics(context.meter)
        self._clocks = ClockService(context, self._cache, self.time, self._table)
        self._deadlines = Deadlines(context, self.time, self._table)
        self.turns = self._turn_worker(context, used)
        orders = OrderService(context, self._cache, self.time, self._clocks, used)
        self._service = RuntimeService(
            context,
            self._cache,
            self._table,
            self._policies,
            self._records,
            self._operations,
            orders,
            self._clocks,
        )

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_runtime.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        self._context.require(NOTIFICATIONS).register(TURN_FAILED)
        self._context.require(ENGINE_VERSIONS).register_drivers(self._drivers)
        watching = asyncio.create_task(self._passes.watch(), name="hints of the engines' host")
        try:
            yield (Offer(RUNTIME, self._service), Offer(TURN_POLICIES, self._policies))
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await self.turns.close()
            await self._runner.close()
            await self._engines.close()
            await self._host.close()

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._cache,)

    def backend_probes(self) -> Sequence[Probe]:
        return (Probe("host", self._passes.health), Probe("clock", self._clocks.health))

    def backend_routes(self) -> Sequence[Route]:
        return operation_routes.routes(self._operations)

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        return doctor.checks(self._context, self._drivers)

    def backend_workers(self) -> Sequence[Worker]:
        return (
            *turn_workers.workers(self.turns),
            *thinning.workers(thinning.Thinning(self._context)),
            *clock_workers.workers(self._deadlines),
            *engine_workers.workers(self._context, self._engines, self._passes),
            *operation_workers.workers(self._runner),
            measuring.worker(self._context, self.time),
        )

    def _turn_worker(self, context: Context[RuntimeSettings], engines: Engines) -> TurnWorker:
        turns = TurnService(
            context,
            self._cache,
            self.time,
            self._table,
            self._policies,
            self._records,
            self._notices,
            self._clocks.missing_zones,
        )
        commits = Commits(context, self._cache, self.time, self._table)
        slots = Slots(context.settings.turn_concurrency, lambda: context.clock.monotonic())  # noqa: PLW0108 - not yet
        runner = TurnRunner(context, self.time, engines, turns, commits, slots, self._metrics)
        return TurnWorker(context, self._clocks, turns, runner, commits, slots, self._metrics)
