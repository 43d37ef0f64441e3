"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.engines import ENGINE_VERSIONS, EngineVersion
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_engineversion import doctor, routes, workers
from galaxy_engineversion.checks import Checks
from galaxy_engineversion.dev.companion import REFERENCE_ENGINE
from galaxy_engineversion.notices import Notices
from galaxy_engineversion.service import EngineVersionService
from galaxy_engineversion.settings import EngineVersionSettings
from galaxy_engineversion.tables import engine_versions, metadata
from galaxy_engineversion.users import VersionUsers
from galaxy_kernel.api import Cache, Context, DoctorCheck, Manifest, Migrations, Offer, Route, Worker


class EngineVersionPlugin:
    """The registry of engine images."""

    manifest = Manifest(
        name="engineversion",
        summary="The registry of engine images, and the check of an engine.",
        settings=EngineVersionSettings,
        provides=(ENGINE_VERSIONS,),
        uses=(NOTIFICATIONS,),
        companions=(REFERENCE_ENGINE,),
    )

    def __init__(self, context: Context[EngineVersionSettings]) -> None:
        self._context = context
        self._cache = Cache(
            name="engineversion.versions", table=engine_versions, row=EngineVersion, key=lambda version: version.id
        )
        users = VersionUsers()
        self._checks = Checks(context, self._cache, users)
        self._service = EngineVersionService(context, self._cache, users, self._checks)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_engineversion.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        Notices(self._context).register()
        await self._service.add_missing(self._context.settings.versions)
        try:
            yield (Offer(ENGINE_VERSIONS, self._service),)
        finally:
            await self._checks.close()

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._cache,)

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._service, self._checks)

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        return doctor.checks(self._context)

    def backend_workers(self) -> Sequence[Worker]:
        return workers.workers(self._checks)
