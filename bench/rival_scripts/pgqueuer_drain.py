"""Drains pgqueuer of jobs that do nothing. Runs in the rivals' environment, by the protocol of bench/process.py."""

import asyncio
import json
import sys
import time

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries  # type: ignore[import-not-found]
from pgqueuer.types import QueueExecutionMode  # type: ignore[import-not-found]


async def drain(dsn: str, count: int, batch: int) -> float:
    connection = await asyncpg.connect(dsn)
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    await queries.install()
    await queries.enqueue(["nothing"] * count, [None] * count, [0] * count)
    await connection.execute("VACUUM ANALYZE")
    queuer = PgQueuer(driver)

    @queuer.entrypoint("nothing")  # type: ignore[untyped-decorator] # none of its packages is in our environment
    async def nothing(_: Job) -> None:
        return None

    started = time.perf_counter()
    await queuer.qm.run(batch_size=batch, mode=QueueExecutionMode.drain)
    took = time.perf_counter() - started
    check = await asyncpg.connect(dsn)
    if left := await check.fetchval("SELECT count(*) FROM pgqueuer"):
        raise RuntimeError(f"pgqueuer left {left} of {count} jobs")
    await check.close()
    return count / took


print(json.dumps({"rate": uvloop.run(asyncio.wait_for(drain(**json.loads(sys.argv[1])), 600))}))
