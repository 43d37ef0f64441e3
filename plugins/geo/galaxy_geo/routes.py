"""The plugin's HTTP operations (SPEC G-3)."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from galaxy_geo.service import CountryService, DatabaseState
from galaxy_kernel.api import Access, Model, Page, Paging, Route, Timestamp


class CountryView(Model):
    """How often an account was seen from a country."""

    country: str
    """ISO 3166-1 alpha-2; `ZZ` where it is unknown."""
    requests: int
    """Authenticated requests."""
    last_seen_at: Timestamp
    """Exact to a few seconds."""


class CountrySummaryView(CountryView):
    """The counters of one country over all accounts."""

    accounts: int
    """The number of accounts seen from it."""


class DatabaseView(Model):
    """The country database that the answering replica uses."""

    state: Literal["ok", "degraded", "failed"]
    detail: str
    """What is wrong and what to do; empty when nothing is wrong."""
    type: str | None
    """The database's own name for it, for example `GeoLite2-Country`; null where none is in use."""
    built_at: Timestamp | None
    """When it was built, from its metadata."""


class GeoSummary(Page[CountrySummaryView]):
    """One page of the countries that players come from, the most frequent first, and the country database."""

    database: DatabaseView


def routes(service: CountryService) -> Sequence[Route]:
    """Return the plugin's routes."""

    async def summary(query: Paging) -> GeoSummary:
        """The most frequent country first, over all accounts. Requests are counted by country and account; no address
        is kept.
        """
        found, total = await service.list_summary(query)
        page = query.page_of([CountrySummaryView.of(each) for each in found], total)
        return GeoSummary(database=_database(service.database_state()), **dict(page))

    async def countries(account_id: UUID, query: Paging) -> Page[CountryView]:
        """The most frequent one first. This read is recorded in the audit log."""
        found, total = await service.list_counts(account_id, query)
        return query.page_of([CountryView.of(each) for each in found], total)

    account = "/api/v1/admin/users/{account_id}/countries"
    return (
        Route(
            "GET",
            "/api/v1/admin/geo/summary",
            summary,
            "geo.summary",
            "List the countries that players come from, with the state of the country database.",
            Access.ADMIN,
        ),
        Route(
            "GET",
            account,
            countries,
            "geo.countries",
            "List the countries an account was seen from.",
            Access.ADMIN,
            personal=True,
        ),
    )


def _database(found: DatabaseState) -> DatabaseView:
    database = found.database
    return DatabaseView(
        state=found.state,
        detail=found.detail,
        type=database.type if database else None,
        built_at=database.built_at if database else None,
    )
