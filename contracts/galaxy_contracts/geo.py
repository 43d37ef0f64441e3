"""Countries of client addresses: what the geo plugin offers to others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection


class CountryCount(msgspec.Struct, frozen=True):
    """How often an account was seen from a country."""

    country: str
    """ISO 3166-1 alpha-2; `ZZ` (which the standard leaves to users) where it is unknown."""
    requests: int
    last_seen_at: datetime


class Countries(Protocol):
    """Looking up countries and counting them. Keeps no address."""

    def country_of(self, client_address: str) -> str | None:
        """Return the country (ISO 3166-1 alpha-2) of an address, or None where it is unknown. Never raises."""

    def count(self, account_id: UUID, client_address: str) -> None:
        """Count one request, in memory only. Called on every authenticated request: never raises and never waits."""

    async def counts(self, connection: Connection, account_id: UUID) -> Sequence[CountryCount]:
        """Return an account's counters, the most frequent country first."""


COUNTRIES: Capability[Countries] = Capability("geo.countries")
