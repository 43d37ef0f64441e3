"""Drains procrastinate of jobs that do nothing, in the rivals' environment, by the protocol of bench/process.py."""

import asyncio
import json
import sys
import time

import psycopg
from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

arguments = json.loads(sys.argv[1])
app = App(connector=PsycopgConnector(conninfo=arguments["dsn"]))


@app.task(name="nothing")  # type: ignore[untyped-decorator] # none of its packages is in our environment
async def nothing() -> None:
    return None


async def drain(count: int, concurrency: int) -> float:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*({} for _ in range(count)))
        with psycopg.connect(arguments["dsn"], autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        started = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=concurrency, install_signal_handlers=False)
        took = time.perf_counter() - started
    with psycopg.connect(arguments["dsn"]) as connection:
        row = connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'").fetchone()
    if row is None or row[0] != count:
        raise RuntimeError(f"procrastinate finished {row} of {count} jobs")
    return count / took


print(json.dumps({"rate": asyncio.run(drain(arguments["count"], arguments["concurrency"]))}))
