"""S-1: draining the mail queue with its full semantics and a null transport, against a bare claim-500/mark-500 loop.

Ours: lease, fencing, attempt history, back-off bookkeeping, through our database layer. The rival: asyncpg, one
statement that claims 500 rows and one that marks them, in a table of the same columns; nothing else.
"""

import random
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import text

from bench.rounds import Figure, compare
from galaxy_kernel.api import Claim, LeasedQueue, Outcome, Pump, Result
from galaxy_kernel.database import Database, make_engine, schema_of
from galaxy_kernel.embedded import EmbeddedPostgres
from galaxy_mail.tables import mail_attempts, mail_deliveries, metadata

_FILL = """
    INSERT INTO {table} (id, kind, recipient, message_id, mime, request_id)
    SELECT gen_random_uuid(), 'bench.mail', 'p' || n || '@example.test', '<' || n || '@bench>',
           decode(repeat('41', 2000), 'hex'), 'bench'
    FROM generate_series(1, {count}) AS n
"""
_CLAIM = """
    UPDATE rival SET next_attempt_at = now() + interval '75 s'
    WHERE id IN (SELECT id FROM rival WHERE state = 'pending' AND next_attempt_at <= now()
                 ORDER BY next_attempt_at LIMIT 500 FOR UPDATE SKIP LOCKED)
    RETURNING id, recipient, mime
"""
_MARK = "UPDATE rival SET state = 'sent' WHERE id = ANY($1)"


async def measure(count: int, rounds: int) -> Figure:
    """Drain `count` deliveries in each round, on a durable server of our own."""
    with tempfile.TemporaryDirectory(prefix="galaxy-bench-") as folder:
        async with EmbeddedPostgres(Path(folder) / "pg") as postgres:
            dsn = postgres.dsn()
            database = Database(make_engine(dsn), schema_of(dsn))
            async with database.transaction() as connection:
                await connection.execute(text("CREATE SCHEMA IF NOT EXISTS backend"))
                await connection.run_sync(metadata.create_all)
                await connection.execute(text("CREATE TABLE rival (LIKE mail_deliveries INCLUDING ALL)"))
            rival = await asyncpg.connect(postgres.dsn(), server_settings={"search_path": "backend"})
            try:
                return await compare(
                    "S-1",
                    f"outbox drain of {count:,} deliveries against a bare claim-500/mark-500 loop on asyncpg",
                    "deliveries a second",
                    ours=lambda: _ours(database, count),
                    rival=lambda: _bare(rival, count),
                    goal=0.5,
                    rounds=rounds,
                )
            finally:
                await rival.close()
                await database.close()


async def _ours(database: Database, count: int) -> float:
    async with database.transaction() as connection:
        await connection.execute(text("TRUNCATE mail_deliveries, mail_attempts"))
        await connection.execute(text(_FILL.format(table="mail_deliveries", count=count)))
    await _vacuum(database, "mail_deliveries")
    queue = LeasedQueue(
        mail_deliveries, mail_attempts, lease=timedelta(seconds=75), max_attempts=8,
        first_delay=timedelta(seconds=10), max_delay=timedelta(hours=1), wipe=("sealed",), random=random.Random(1),
    )  # fmt: skip

    async def send(claim: Claim) -> Result:
        return Result(claim, Outcome.SENT, "250 OK", 250)

    columns = [mail_deliveries.c[name] for name in ("kind", "recipient", "mime", "sealed", "request_id")]
    pump = Pump(queue, database, send, columns=columns, senders=4, reserve=timedelta(seconds=20))
    started = time.perf_counter()
    while await pump.run():
        pass
    took = time.perf_counter() - started
    async with database.reading() as connection:
        done = text("SELECT count(*) FROM mail_deliveries JOIN mail_attempts ON delivery_id = id WHERE state = 'sent'")
        sent = (await connection.execute(done)).scalar_one()
    if sent != count:
        raise RuntimeError(f"outbox drain: {sent} of {count} deliveries were sent and have their history")
    return count / took


async def _bare(rival: Any, count: int) -> float:
    await rival.execute("TRUNCATE rival")
    await rival.execute(_FILL.format(table="rival", count=count))
    await rival.execute("VACUUM ANALYZE rival")
    started = time.perf_counter()
    while rows := await rival.fetch(_CLAIM):
        await rival.execute(_MARK, [row["id"] for row in rows])
    return count / (time.perf_counter() - started)


async def _vacuum(database: Database, table: str) -> None:
    async with database.reading() as connection:
        await connection.execute(text(f"VACUUM ANALYZE {table}"))
