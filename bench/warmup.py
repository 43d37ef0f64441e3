"""Loading a cache at start: 100,000 accounts through `Caches.load`, against a bare fetch of the same columns.

The bare fetch is asyncpg's `fetch` of all rows at once, which leaves its own records and no index by key.
"""

import time
from functools import partial

import asyncpg

from bench import postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave
from galaxy_chassis.clock import SystemClock
from galaxy_contracts.accounts import Account
from galaxy_kernel.api import Cache
from galaxy_kernel.caches.feed import Feed
from galaxy_kernel.caches.registry import Caches
from galaxy_kernel.wakeups import Wakeups
from galaxy_user.plugin import UserPlugin
from galaxy_user.tables import accounts

_FILL = """
    INSERT INTO accounts (id, email, email_folded, display_name, language, time_zone, created_at)
    SELECT uuidv7(), 'p' || n || '@example.test', 'p' || n || '@example.test', 'Player ' || n, 'en', 'UTC', now()
    FROM generate_series(1, {count}) AS n
"""


async def measure(*, quick: bool) -> list[Figure]:
    """Load 100,000 rows in each round."""
    count, rounds = 100_000, 2 if quick else 3
    async with postgres.migrated(UserPlugin) as dsn:
        await postgres.run(dsn, _FILL.format(count=count), "VACUUM ANALYZE accounts", "CHECKPOINT")
        sides: dict[str, Run] = {"bare fetch": partial(alone, "bench.warmup:bare", dsn=dsn, count=count)}
        sides |= {
            driver: partial(alone, "bench.warmup:ours", dsn=postgres.by_driver(dsn, driver), count=count)
            for driver in postgres.DRIVERS
        }
        taken = await interleave(rounds, **sides)
    return [
        taken.figure(
            "-", f"cache warm-up, {count:,} rows, {driver}", "rows/s", "rate", ours=driver, against="bare fetch"
        )
        for driver in postgres.DRIVERS
    ]


async def ours(dsn: str, count: int) -> Values:
    """Load the cache of accounts as the kernel does."""
    async with postgres.opened(dsn) as database:
        cache = Cache(name="user", table=accounts, row=Account, key=lambda account: account.id)
        caches = Caches(database, Feed(database), Wakeups(database), SystemClock())
        caches.register("user", [cache])
        started = time.perf_counter()
        await caches.load()
        took = time.perf_counter() - started
        if len(cache) != count:
            raise RuntimeError(f"warm-up: the cache holds {len(cache)} of {count} rows")
    return {"rate": count / took}


async def bare(dsn: str, count: int) -> Values:
    """Fetch the same columns."""
    connection = await asyncpg.connect(dsn)
    statement = f"SELECT {', '.join(Account.__struct_fields__)} FROM accounts"
    started = time.perf_counter()
    rows = await connection.fetch(statement)
    took = time.perf_counter() - started
    await connection.close()
    if len(rows) != count:
        raise RuntimeError(f"warm-up: the fetch gave {len(rows)} of {count} rows")
    return {"rate": count / took}
