"""Countries: look-up, counters, and the operators' views.

What a crash leaves behind. Counting is in memory first: `count` notes, `flush` resolves the notes to countries and adds
them to the table, one transaction for each set. A killed process loses the notes and counts that were not flushed: at
most one interval of the worker, or all since the database became unavailable. A flush that fails is rolled back and
stays in memory for the next one. Only where the connection is lost in the COMMIT itself is the outcome unknown: then
the set is added again, so that a counter may be too high by that set. The counters are statistics, on which no decision
depends.

Forgetting an account is one transaction of its mark, the deletion of its counters and the end of the fact: before the
COMMIT nothing has happened and the fact is delivered again; after it no replica writes a counter of the account,
whatever it still has in memory.
"""

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Literal
from uuid import UUID

import msgspec

from galaxy_contracts.geo import CountryCount
from galaxy_geo import queries
from galaxy_geo.counting import Notes, Tally
from galaxy_geo.databases import CountryDatabase
from galaxy_geo.domain import CountrySummary
from galaxy_geo.metrics import REQUESTS
from galaxy_geo.settings import GeoSettings
from galaxy_geo.watching import CountryFile
from galaxy_kernel.api import Connection, Context, Health, Paging, found_work, is_unavailable

BATCH = 1_000
"""Counters written in one statement: binding 5,000 of them kept the event loop for 40 ms, these for less than 10."""


class DatabaseState(msgspec.Struct, frozen=True):
    """The country database as operators see it."""

    state: Literal["ok", "degraded", "failed"]
    detail: str
    database: CountryDatabase | None
    """The database in use."""


class CountryService:
    """Implements the contract `Countries`, and the use cases of the routes and workers."""

    def __init__(self, context: Context[GeoSettings]) -> None:
        self._context = context
        self._notes, self._tally = Notes(), Tally()
        self._counted = REQUESTS.on(context.meter)
        self._full = False
        self._unwritten = ""
        """Why the last flush failed; empty when it succeeded."""
        self._flushing = asyncio.Lock()

    async def close(self) -> None:
        """Write the counts, as far as the database accepts them. Called when the plugin stops."""
        try:
            while await self.flush():
                pass
        except Exception as error:  # only counts are lost, which is not a reason to fail the stop
            lost = self._tally.requests
            self._context.log.warning("country_counts_lost", requests=lost, error=type(error).__name__)

    def country_of(self, client_address: str) -> str | None:
        """Return the country of an address, or None where it is unknown. Never raises."""
        database = self._file.database
        return None if database is None else database.country_of(client_address)

    def count(self, account_id: UUID, client_address: str) -> None:
        """Count one request: only noted here, so that no request waits for a look-up or a write."""
        self._notes.add(account_id, client_address)

    async def counts(self, connection: Connection, account_id: UUID) -> Sequence[CountryCount]:
        """Return an account's counters, the most frequent country first."""
        return await queries.counts(connection, account_id)

    async def list_counts(self, account_id: UUID, paging: Paging) -> tuple[Sequence[CountryCount], int]:
        """Return one page of an account's counters, and how many countries there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_counts(connection, account_id, paging)

    async def list_summary(self, paging: Paging) -> tuple[Sequence[CountrySummary], int]:
        """Return one page of the countries over all accounts, and how many there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_summary(connection, paging)

    async def flush(self) -> bool:
        """Resolve the notes and write a set of counters; return whether there is more to write."""
        async with self._flushing:
            return await self._flush()

    async def work(self) -> bool:
        """Flush for the worker: a failure is shown by `counters_health` and never makes the backend unready."""
        try:
            more = await self.flush()
        except Exception as error:  # statistics wait in memory: they must not stop anything else
            if not self._unwritten:
                trace = None if is_unavailable(error) else error  # other checks report that Postgres is unavailable
                self._context.log.warning("country_counts_delayed", error=type(error).__name__, exc_info=trace)
            self._unwritten = type(error).__name__
            return False
        self._unwritten = ""
        return more

    async def forget(self, connection: Connection, account_id: UUID) -> None:
        """Delete an account's counters with the caller's transaction, and accept no more from any replica."""
        await queries.forget(connection, account_id)

    async def reload(self) -> None:
        """Load the country database, if there is one and its file has changed."""
        await self._file.look()

    async def database_health(self) -> Health:
        """Return whether countries can be looked up."""
        return self._file.health()

    async def counters_health(self) -> Health:
        """Return whether counts can be written."""
        if not self._unwritten:
            return Health()
        return Health(
            "degraded",
            f"counts could not be written ({self._unwritten}) and wait in memory (country_counts_delayed in the log)",
        )

    def database_state(self) -> DatabaseState:
        """Return the state of the country database."""
        health = self._file.health()
        return DatabaseState(health.state, health.detail, self._file.database)

    @cached_property
    def _file(self) -> CountryFile:
        return CountryFile(self._context.settings.db_path, log=self._context.log)

    async def _flush(self) -> bool:
        noted, dropped = self._notes.take()
        dropped += await self._tally.resolve(noted, self._context.clock.now(), self.country_of)
        self._tell_dropped(dropped)
        some = self._tally.some(BATCH)
        if not some:
            return False
        async with self._context.database.transaction() as connection:
            await queries.add(connection, some)
        self._tally.written(some)
        found_work(some)
        self._counted.add(sum(each.requests for each in some.values()), {"outcome": "counted"})
        return len(self._tally) > 0

    def _tell_dropped(self, dropped: int) -> None:
        """Count dropped requests; log them once until there is room again."""
        if dropped:
            self._counted.add(dropped, {"outcome": "dropped"})
            if not self._full:
                self._context.log.warning("country_counts_dropped", requests=dropped, waiting=len(self._tally))
        self._full = dropped > 0
