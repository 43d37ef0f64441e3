"""S-14: the claim of 100 due games among 1,000,000, and a pass that finds nothing due.

Ours is what the worker does: the lock and the claim of what is due, each game's decision, COMMIT.
The rival is one prepared statement of asyncpg that locks and claims the same rows, commits as durably, and returns
their columns; it decides nothing. An idle pass is the worker's whole pass: the
look at the clock, the claim of nothing, and the question when the next turn is due. As numbers of the database: what
the claim's first statement reads, by EXPLAIN, must not grow with the games.
"""

import json
import statistics
import time
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg

from bench import games, postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave

DUE = 100
_BARE = """
    WITH due AS (
        SELECT game_id FROM runtime_records WHERE playing AND next_turn_at <= now()
        ORDER BY next_turn_at LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE runtime_records AS r SET turn_lease = r.turn_lease + 1, turn_claimed_at = now(), due_at = r.next_turn_at,
        next_turn_at = now() + interval '15 s', turn_attempts = 1, absent = '{}', orders_closed_at = now()
    FROM due WHERE r.game_id = due.game_id RETURNING r.*
"""
_RESET = """
    UPDATE runtime_records SET turn_claimed_at = NULL, due_at = NULL, turn_attempts = 0, orders_closed_at = NULL,
        absent = NULL, sent = awaiting, next_turn_at = now() + CASE WHEN $2 THEN interval '0' ELSE interval '1 day' END
    WHERE game_id = ANY ($1::uuid[])
"""
_EXPLAINED = """
    EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT game_id FROM runtime_records
    WHERE playing AND next_turn_at <= now() + interval '1 day' ORDER BY next_turn_at LIMIT 100 FOR UPDATE SKIP LOCKED
"""


async def measure(*, quick: bool) -> list[Figure]:
    """Claim 30 times in each of five rounds; 10 times in two, among 20,000, when quick."""
    count, again, rounds = (20_000, 10, 2) if quick else (1_000_000, 30, 5)
    async with postgres.migrated(*games.PLUGINS) as dsn:
        await games.fill(dsn, 1)
        sides: dict[str, Run] = {
            "ours": partial(_run, dsn, "bench.claims:ours", again),
            "bare": partial(_run, dsn, "bench.claims:bare", again),
        }
        few = await alone("bench.claims:buffers", dsn=dsn)
        await games.fill(dsn, count, [games.RECORDS])
        many = await alone("bench.claims:buffers", dsn=dsn)
        taken = await interleave(rounds, **sides)
    what = f"claim of {DUE} games among {count:,}"
    return [
        taken.figure("S-14", what, "/s", "rate", against="bare", named="one statement", goal=0.5),
        taken.figure("-", f"{what}, ours", "ms", "ms"),
        taken.figure("-", f"{what}, one statement", "ms", "ms", ours="bare"),
        taken.figure("S-14", f"idle pass among {count:,}", "ms", "idle", goal=5.0),
        Figure("-", f"pages read by the look for {DUE} due games, {count:,} games", "pages", many, "1 game", few),
    ]


async def _run(dsn: str, function: str, again: int) -> Values:
    values: Values = await alone(function, dsn=dsn, again=again)
    return values


def _due() -> list[UUID]:
    """Return games spread over the table, as those that are due at a time are."""
    return [games.game_id(1 + number * 197) for number in range(DUE)]


async def ours(dsn: str, again: int) -> Values:
    """Claim, and pass over nothing, as the worker does.

    Memory holds those that are due alone: with a million it would take minutes to boot, and a claim reads no others.
    """
    due, claims, idle = _due(), [], []
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE runtime_records SET ended = game_id <> ALL ($1::uuid[])", due)
    async with games.table(dsn) as table:
        await connection.execute("UPDATE runtime_records SET ended = false WHERE ended")
        await connection.execute("VACUUM ANALYZE runtime_records")
        worker = table.runtime.turns
        worker._stopping = True  # its own passes do nothing: those here are timed
        for _ in range(again):
            await connection.execute(_RESET, due, True)
            async with table.booted.database.reading() as reading:
                now = await table.runtime.time.now(reading)
            began = time.perf_counter()
            found = await worker._turns.claim(DUE, now + timedelta(minutes=1))
            claims.append(time.perf_counter() - began)
            if len(found.claims) != DUE:
                raise RuntimeError(f"claims: {len(found.claims)} of {DUE} games were claimed")
            await connection.execute(_RESET, due, False)
            began = time.perf_counter()
            worker._stopping = False
            await worker.run()
            worker._stopping = True
            idle.append(time.perf_counter() - began)
    await connection.close()
    median = statistics.median(claims)
    return {"rate": 1 / median, "ms": 1_000 * median, "idle": 1_000 * statistics.median(idle)}


async def bare(dsn: str, again: int) -> Values:
    """Claim with one statement."""
    due, claims = _due(), []
    connection = await asyncpg.connect(dsn)
    for _ in range(again):
        await connection.execute(_RESET, due, True)
        began = time.perf_counter()
        claimed = await connection.fetch(_BARE, DUE)
        claims.append(time.perf_counter() - began)
        if len(claimed) != DUE:
            raise RuntimeError(f"claims: {len(claimed)} of {DUE} games were claimed")
        await connection.execute(_RESET, due, False)
    await connection.close()
    median = statistics.median(claims)
    return {"rate": 1 / median, "ms": 1_000 * median}


async def buffers(dsn: str) -> float:
    """Return how many pages the look for due games reads."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("VACUUM ANALYZE runtime_records")
    [plan] = json.loads(await connection.fetchval(_EXPLAINED))
    await connection.close()
    return float(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
