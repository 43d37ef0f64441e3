"""Runs turns as jobs of procrastinate, one for each game, in the rivals' environment, by the protocol of process.py.

A job does what one turn of the bare loop does: it locks its game, reads, writes every row and commits.
"""

import asyncio
import json
import sys
import time
import uuid

import asyncpg
import bare_turn  # type: ignore[import-not-found] # beside this script
from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

AT_ONCE = 16
arguments = json.loads(sys.argv[1])
app = App(connector=PsycopgConnector(conninfo=arguments["dsn"].partition("?")[0]))
pools: list[asyncpg.Pool] = []


@app.task(name="turn")  # type: ignore[untyped-decorator] # none of its packages is in our environment
async def turn(game: str) -> None:
    async with pools[0].acquire() as connection:
        if await bare_turn.turns(connection, bare_turn.ONE, uuid.UUID(game)) != 1:
            raise RuntimeError(f"no turn of {game}")


async def run(games: list[str]) -> float:
    async with app.open_async(), asyncpg.create_pool(arguments["dsn"], min_size=AT_ONCE, max_size=AT_ONCE) as pool:
        pools.append(pool)
        if not await pool.fetchval("SELECT to_regclass('public.procrastinate_jobs') IS NOT NULL"):
            await app.schema_manager.apply_schema_async()
        await turn.batch_defer_async(*({"game": game} for game in games))
        await pool.execute("ANALYZE public.procrastinate_jobs")
        started = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=AT_ONCE, install_signal_handlers=False)
        took = time.perf_counter() - started
        failed = await pool.fetchval("SELECT count(*) FROM public.procrastinate_jobs WHERE status <> 'succeeded'")
        if failed:
            raise RuntimeError(f"procrastinate left {failed} jobs")
    return took


print(json.dumps({"seconds": asyncio.run(run(arguments["games"]))}))
