"""S-15: from a deadline to the claim, for 100 games due at random within ten seconds.

Both by the database's clock. Ours ends when the turn begins, with its claim committed. The rival is a timer of asyncio
for each game and one statement of asyncpg when it fires, on 16 connections: the least that a claim can take.
"""

import asyncio
import random
import statistics
import time
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg

from bench import games, postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave

GAMES = 100
_SET = """
    UPDATE runtime_records AS r SET sent = r.awaiting, next_turn_at = new.at, tick_at = new.at
    FROM unnest($1::uuid[], $2::float8[]) AS new (game_id, seconds),
        LATERAL (SELECT statement_timestamp() + new.seconds * interval '1 second') AS times (at)
    WHERE r.game_id = new.game_id RETURNING r.next_turn_at
""".replace("new.at", "times.at")
_CLAIM = """
    UPDATE runtime_records SET turn_lease = turn_lease + 1, turn_claimed_at = now(), due_at = next_turn_at,
        next_turn_at = now() + interval '15 s' WHERE game_id = $1 RETURNING due_at
"""


async def measure(*, quick: bool) -> list[Figure]:
    """Wait for 100 games in three rounds; for 30, within three seconds, when quick."""
    count, seconds, rounds = (30, 3.0, 1) if quick else (GAMES, 10.0, 3)
    async with postgres.migrated(*games.PLUGINS) as dsn:
        sides: dict[str, Run] = {
            "ours": partial(_run, dsn, "bench.lag:ours", count, seconds),
            "timer": partial(_run, dsn, "bench.lag:timer", count, seconds),
        }
        taken = await interleave(rounds, **sides)
    what = f"deadline to claim, {count} games in {seconds:.0f} s"
    return [
        taken.figure("S-15", f"{what}, p99", "ms", "p99", goal=50.0),
        taken.figure("S-15", f"{what}, of p99", "/s", "inverse", against="timer", named="timer and claim", goal=1 / 3),
        taken.figure("-", f"{what}, p50", "ms", "p50"),
        taken.figure("-", f"{what}, timer and claim, p99", "ms", "p99", ours="timer"),
    ]


async def _run(dsn: str, function: str, count: int, seconds: float) -> Values:
    await games.fill(dsn, count)
    values: Values = await alone(function, dsn=dsn, count=count, seconds=seconds)
    return values


def _times(count: int, seconds: float) -> tuple[list[UUID], list[float]]:
    """Return games and when they are due, from now: the same in each round."""
    drawn = random.Random(15)
    return [games.game_id(number) for number in range(1, count + 1)], [
        1 + drawn.random() * seconds for _ in range(count)
    ]


def _figures(lags: list[float]) -> Values:
    ordered = sorted(lags)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return {"p50": 1_000 * statistics.median(ordered), "p99": 1_000 * p99, "inverse": 1 / p99}


async def ours(dsn: str, count: int, seconds: float) -> Values:
    """Have the worker wait for each game."""
    connection = await asyncpg.connect(dsn)
    async with games.table(dsn) as table:
        await games.timed_round(table, connection, [games.game_id(1)])
        already = len(table.ended)
        await connection.execute(_SET, *_times(count, seconds))
        table.wake()
        await table.until(already + count)
        lags = [at - claim.due_at.timestamp() for claim, at in table.claimed_at[already:]]
    await connection.close()
    return _figures(lags)


async def timer(dsn: str, count: int, seconds: float) -> Values:
    """Wait with a timer for each game, and claim it by itself."""
    lags: list[float] = []
    ids, times = _times(count, seconds)
    async with asyncpg.create_pool(dsn, min_size=16, max_size=16) as pool:
        began = time.monotonic()
        now: datetime = await pool.fetchval("SELECT clock_timestamp()")
        ahead = now.timestamp() - (began + time.monotonic()) / 2  # the server's clock, by ours
        await pool.execute(_SET, ids, times)
        rows = await pool.fetch("SELECT game_id, next_turn_at FROM runtime_records")

        async def claim(game: UUID, at: datetime) -> None:
            await asyncio.sleep(at.timestamp() - ahead - time.monotonic())
            due: datetime = await pool.fetchval(_CLAIM, game)
            lags.append(time.monotonic() + ahead - due.timestamp())

        await asyncio.gather(*(claim(row["game_id"], row["next_turn_at"]) for row in rows))
    return _figures(lags)
