"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.geo import COUNTRIES
from galaxy_geo import doctor, events, routes, workers
from galaxy_geo.service import CountryService
from galaxy_geo.settings import GeoSettings
from galaxy_geo.tables import metadata
from galaxy_kernel.api import Context, DoctorCheck, Manifest, Migrations, Offer, Probe, Route, Subscriptions, Worker


class GeoPlugin:
    """Countries of players, from a GeoIP database."""

    manifest = Manifest(
        name="geo",
        summary="Countries of players, from a GeoIP database.",
        settings=GeoSettings,
        provides=(COUNTRIES,),
    )

    def __init__(self, context: Context[GeoSettings]) -> None:
        self._context, self._service = context, CountryService(context)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_geo.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        await self._service.reload()
        try:
            yield (Offer(COUNTRIES, self._service),)
        finally:
            await self._service.close()

    def backend_probes(self) -> Sequence[Probe]:
        return (
            Probe("country_database", self._service.database_health),
            Probe("country_counters", self._service.counters_health),
        )

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._service)

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        return doctor.checks(self._context)

    def backend_workers(self) -> Sequence[Worker]:
        return workers.workers(self._service)

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions(self._service)
