"""S-7: what counting a request's country costs on the request's path.

Ours is the geo plugin in a running kernel with Postgres and a country database of 50,000 networks: `count` as auth
calls it, for 2,000 players, each from one address. `every pair new` is the worst case: no pair is seen twice. The rival
does at once what ours leaves to its worker, all but the writing: look up and count, by the same C reader.

What ours leaves for later is shown as well: the worker's look-ups and its writing, for each pair of account and
address.
"""

import asyncio
import gc
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from uuid import UUID

from mmdb_writer import MMDBWriter
from netaddr import IPSet

from bench import postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave
from galaxy_contracts.geo import COUNTRIES
from galaxy_geo.databases import open_database
from galaxy_geo.plugin import GeoPlugin
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.kernel import Kernel

NETWORKS, PLAYERS = 50_000, 2_000
_SLICE = 1_000
"""Calls between two pauses for the worker, as between requests; the pauses are not timed."""

Call = tuple[UUID, str]


async def measure(*, quick: bool) -> list[Figure]:
    """Count 400,000 requests in each round, 100,000 when quick."""
    count, rounds = (100_000, 2) if quick else (400_000, 5)
    with tempfile.TemporaryDirectory(prefix="galaxy-bench-") as folder:
        path = Path(folder) / "country.mmdb"
        _make_database(path)
        async with postgres.migrated(GeoPlugin) as dsn:
            sides: dict[str, Run] = {
                "at once": partial(alone, "bench.geo:at_once", path=str(path), count=count),
                "ours": partial(alone, "bench.geo:ours", dsn=dsn, path=str(path), count=count),
            }
            taken = await interleave(rounds, **sides)
    return [
        taken.figure("S-7", "geo count, on the request's path", "us", "usual", goal=3),
        taken.figure("S-7", "geo count, every pair new", "us", "new", goal=3),
        taken.figure("-", "geo count, against a look-up at once", "/s", "rate", against="at once"),
        taken.figure("-", "geo count, left to the worker, a pair", "us", "later"),
    ]


async def ours(dsn: str, path: str, count: int) -> Values:
    """Count in a running kernel, as auth does, then leave the rest to a flush."""
    environment = postgres.ENVIRONMENT | {
        "BACKEND_POSTGRES_DSN": dsn,
        "BACKEND_GEOIP_DB_PATH": path,
        "BACKEND_HTTP_LISTEN_ADDR": "127.0.0.1:0",
    }
    kernel = Kernel(assemble(environment, discovery=from_classes(GeoPlugin)))
    async with kernel.running():
        countries = kernel.services.require(COUNTRIES, asked_by="bench")
        usual = await _timed(countries.count, _usual(count))
        await _flushed(countries)
        new = await _timed(countries.count, _new())
        later = await _flushed(countries)
    return {"usual": usual, "new": new, "rate": 1e6 / usual, "later": later * 1e6 / NETWORKS}


async def at_once(path: str, count: int) -> Values:
    """Look up and count in each call."""
    database, counted = open_database(Path(path)), Counter[tuple[UUID, str]]()

    def count_at_once(account_id: UUID, client_address: str) -> None:
        counted[account_id, database.country_of(client_address) or "ZZ"] += 1

    return {"rate": 1e6 / await _timed(count_at_once, _usual(count))}


async def _timed(count: Callable[[UUID, str], None], calls: list[Call]) -> float:
    """Return the microseconds of one call, the loop around it included."""
    spent = 0.0
    for start in range(0, len(calls), _SLICE):
        some = calls[start : start + _SLICE]
        started = time.perf_counter()
        for account_id, client_address in some:
            count(account_id, client_address)
        spent += time.perf_counter() - started
        await asyncio.sleep(0)
    return spent * 1e6 / len(calls)


async def _flushed(countries: object) -> float:
    started = time.perf_counter()
    while await countries.flush():  # type: ignore[attr-defined] # the plugin's own, beyond the contract
        pass
    return time.perf_counter() - started


def _usual(count: int) -> list[Call]:
    chosen = random.Random(1)
    players = [(UUID(int=number), _address(chosen.randrange(NETWORKS))) for number in range(PLAYERS)]
    gc.collect()
    return chosen.choices(players, k=count)


def _new() -> list[Call]:
    return [(UUID(int=PLAYERS + number), _address(number)) for number in range(NETWORKS)]


def _address(network: int) -> str:
    return str(IPv4Address((11 << 24) + (network << 8) + 1))


def _make_database(path: Path) -> None:
    writer = MMDBWriter(6, "country ipvAll", ipv4_compatible=True)
    for number in range(NETWORKS):
        country = chr(65 + number % 26) + chr(65 + number // 26 % 25)
        writer.insert_network(IPSet([f"{IPv4Address((11 << 24) + (number << 8))}/24"]), {"country_code": country})
    writer.to_db_file(str(path))
