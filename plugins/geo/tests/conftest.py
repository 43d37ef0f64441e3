"""The plugin alone, with country databases made for the test and fake authenticators."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from galaxy_contracts.access import ADMIN_AUTHENTICATOR
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.testing import FakeAdmins
from galaxy_devkit.testing import Boot, Booted, ManualClock, offering
from galaxy_geo.plugin import GeoPlugin
from galaxy_kernel.api import Database

NETWORKS = {
    "192.0.2.0/24": "AT",
    "198.51.100.0/24": "DE",
    "203.0.113.0/25": "US",
    "2001:db8::/48": "AT",
    "2001:db8:1::/48": "JP",
}
"""The networks of the databases in these tests, all of them for documentation (RFC 5737, RFC 3849)."""


def flat(country: str) -> dict[str, Any]:
    """Make a record as free databases have it."""
    return {"country_code": country}


def maxmind(country: str) -> dict[str, Any]:
    """Make a record as MaxMind has it."""
    return {
        "continent": {"code": "XX", "names": {"en": "Some continent"}},
        "country": {"iso_code": country, "geoname_id": 42, "names": {"en": f"Country {country}"}},
        "registered_country": {"iso_code": "FR", "geoname_id": 43},
    }


RECORDS = {"flat": flat, "maxmind": maxmind}


def write_database(
    path: Path,
    networks: Mapping[str, Any] = NETWORKS,
    *,
    record: str | Callable[[Any], Any] = "flat",
    database_type: str = "country ipvAll",
    ip_version: int = 6,
) -> Path:
    """Write a database beside the path and put it in its place, as careful operators do."""
    make = RECORDS[record] if isinstance(record, str) else record
    writer = MMDBWriter(ip_version, database_type, ipv4_compatible=ip_version == 6)
    for network, country in networks.items():
        writer.insert_network(IPSet([network]), make(country))
    beside = path.with_name(f"{path.name}.new")
    writer.to_db_file(str(beside))
    beside.replace(path)
    return path


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    clock: ManualClock

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def countries(self) -> Any:
        """The plugin's service, by the contract it provides."""
        return self.booted.kernel.services.require(COUNTRIES, asked_by="the test")

    async def counts(self, account_id: UUID) -> dict[str, int]:
        """Return the requests of an account by country, as they stand in the database."""
        async with self.database.reading() as connection:
            return {each.country: each.requests for each in await self.countries.counts(connection, account_id)}

    async def rows(self) -> int:
        """Count the counters of everybody."""
        async with self.database.reading() as connection:
            rows = await connection.exec_driver_sql("SELECT count(*) FROM user_country_counters")
            return int(rows.scalar_one())

    async def ask(self, path: str, **query: Any) -> tuple[int, Any]:
        """Make a request as the operator, and return status and JSON."""
        credentials = aiohttp.encode_basic_auth(FakeAdmins.username, FakeAdmins.password)
        async with self.booted.client.get(path, params=query, headers={"Authorization": credentials}) as response:
            return response.status, await response.json()

    async def probe(self, name: str = "country_database") -> tuple[int, str, str]:
        """Return the status of `/readyz`, and state and detail of one of the plugin's checks."""
        probes = self.booted.kernel.probes
        probes.forget()
        async with self.booted.client.get("/readyz") as response:
            checks = (await response.json())["checks"]
            own = next(check for check in checks if check["name"] == name)
            return response.status, own["state"], own["detail"]

    async def tell(self, fact: Any) -> None:
        """Record a fact as its plugin would, and wait until every listener has handled it."""
        shared = self.booted.kernel.assembly.require_resources()
        async with self.database.transaction() as connection:
            await shared.facts.record(connection, fact)
        async with asyncio.timeout(10):
            while await self._waiting():  # there is no event for it
                await asyncio.sleep(0.01)

    async def _waiting(self) -> bool:
        async with self.database.reading() as connection:
            return bool((await connection.exec_driver_sql("SELECT EXISTS (SELECT FROM facts)")).scalar_one())


@pytest.fixture
def write() -> Callable[..., Path]:
    """Return a function that writes a database: `write(path, networks, record=…, database_type=…, ip_version=…)`."""
    return write_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a flat database of NETWORKS."""
    return write_database(tmp_path / "country.mmdb")


@pytest.fixture
def account() -> UUID:
    """Return an account's id."""
    return uuid4()


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Return a function that boots the plugin with or without a database file; `beside` another world, as a replica."""
    async with AsyncExitStack() as stack:

        async def make(db_path: str | os.PathLike[str] = "", *, beside: World | None = None) -> World:
            fakes = offering("fakes", {ADMIN_AUTHENTICATOR: FakeAdmins()})
            environment = {"BACKEND_GEOIP_DB_PATH": str(db_path)}
            dsn = beside.booted.dsn if beside else None
            booted = await stack.enter_async_context(
                boot(GeoPlugin, fakes, environment=environment, clock=clock, dsn=dsn)
            )
            return World(booted, clock)

        yield make


@pytest.fixture
async def world(make_world: Any, path: Path) -> World:
    """Return the plugin, booted with a database."""
    world: World = await make_world(path)
    return world
