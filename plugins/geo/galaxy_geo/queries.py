"""Every statement of the plugin, as functions of a connection.

Writing counters and forgetting an account exclude each other by an advisory lock: shared for writers, exclusive for
forgetting. The statement after the lock is a separate one, so that its snapshot is later than the lock.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Row, Select, Text, Uuid, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from galaxy_contracts.geo import CountryCount
from galaxy_geo.domain import Counted, CountrySummary, Key
from galaxy_geo.tables import geo_forgotten_accounts as forgotten
from galaxy_geo.tables import user_country_counters as counters
from galaxy_kernel.api import Connection, Paging, fetch_page

_c = counters.c

_NUMBER = "hashtextextended('galaxy/geo/' || current_schema(), 0)"
_LOCK_TO_WRITE = text(f"SELECT pg_advisory_xact_lock_shared({_NUMBER})")
_LOCK_TO_FORGET = text(f"SELECT pg_advisory_xact_lock({_NUMBER})")

_ADD = text("""
    INSERT INTO user_country_counters AS kept (account_id, country, requests, last_seen_at)
    SELECT counted.account_id, counted.country, counted.requests, counted.last_seen_at
    FROM unnest(CAST(:accounts AS uuid[]), CAST(:countries AS text[]), CAST(:requests AS bigint[]),
        CAST(:times AS timestamptz[])) AS counted (account_id, country, requests, last_seen_at)
    WHERE NOT EXISTS (SELECT FROM geo_forgotten_accounts AS gone WHERE gone.account_id = counted.account_id)
    ORDER BY counted.account_id, counted.country
    ON CONFLICT (account_id, country) DO UPDATE
    SET requests = kept.requests + excluded.requests,
        last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)
""").bindparams(
    bindparam("accounts", type_=ARRAY(Uuid)), bindparam("countries", type_=ARRAY(Text)),
    bindparam("requests", type_=ARRAY(BigInteger)), bindparam("times", type_=ARRAY(DateTime(timezone=True))),
)  # fmt: skip

_COUNTS = select(_c.country, _c.requests, _c.last_seen_at).order_by(_c.requests.desc(), _c.country)

_SUMMARY: Select[Any] = (
    select(
        _c.country,
        func.count().label("accounts"),
        func.sum(_c.requests).label("requests"),
        func.max(_c.last_seen_at).label("last_seen_at"),
    )
    .group_by(_c.country)
    .order_by(func.sum(_c.requests).desc(), _c.country)
)


async def add(connection: Connection, counted: Mapping[Key, Counted]) -> None:
    """Add to the counters in one statement, except for forgotten accounts.

    The rows are locked in one order, so that replicas that add to the same ones never deadlock.
    """
    await connection.execute(_LOCK_TO_WRITE)
    values = {
        "accounts": [account for account, _ in counted],
        "countries": [country for _, country in counted],
        "requests": [each.requests for each in counted.values()],
        "times": [each.last_seen_at for each in counted.values()],
    }
    await connection.execute(_ADD, values)


async def forget(connection: Connection, account_id: UUID) -> None:
    """Delete an account's counters, and prevent new ones."""
    await connection.execute(_LOCK_TO_FORGET)
    await connection.execute(insert(forgotten).values(account_id=account_id).on_conflict_do_nothing())
    await connection.execute(delete(counters).where(_c.account_id == account_id))


async def counts(connection: Connection, account_id: UUID) -> Sequence[CountryCount]:
    """Return an account's counters, the most frequent country first."""
    rows = await connection.execute(_COUNTS.where(_c.account_id == account_id))
    return [CountryCount(*row) for row in rows]


async def list_counts(connection: Connection, account_id: UUID, paging: Paging) -> tuple[Sequence[CountryCount], int]:
    """Return one page of an account's counters, the most frequent country first, and how many there are."""
    rows, total = await fetch_page(connection, _COUNTS.where(_c.account_id == account_id), paging)
    return [CountryCount(*row[:-1]) for row in rows], total


async def list_summary(connection: Connection, paging: Paging) -> tuple[Sequence[CountrySummary], int]:
    """Return one page of the countries over all accounts, the most frequent one first, and how many there are."""
    rows, total = await fetch_page(connection, _SUMMARY, paging)
    return [_summary(row) for row in rows], total


def _summary(row: Row[*tuple[Any, ...]]) -> CountrySummary:
    return CountrySummary(row.country, int(row.accounts), int(row.requests), row.last_seen_at)
