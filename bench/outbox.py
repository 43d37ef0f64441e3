"""S-1: draining the mail queue with its full semantics into a null transport.

Ours is the real worker: leases, fencing, attempt history, expiry, request ids, metrics, through our database layer.
The bare loop is asyncpg with one statement that claims 500 rows and one that marks them sent, in a table of the same
columns and indexes, and nothing else. pgqueuer and procrastinate drain as many jobs that do nothing.
"""

import random
import time
from pathlib import Path
from typing import Any

import asyncpg
from opentelemetry.metrics import NoOpMeter

from bench import postgres
from bench.process import alone, script
from bench.rivals import RivalsMissing, rivals_python
from bench.rounds import Figure, Values, interleave
from galaxy_kernel.clock import SystemClock
from galaxy_kernel.logs import configure_logging, get_logger
from galaxy_mail.plugin import MailPlugin
from galaxy_mail.sealing import Sealer
from galaxy_mail.settings import MailSettings, SmtpSettings
from galaxy_mail.transport import Reply
from galaxy_mail.workers import Deliverer, delivery_queue

UNIT = "mails/s"
_SCRIPTS = Path(__file__).parent / "rival_scripts"
_SLOW = 2_000
"""Jobs for procrastinate, which would take most of a minute over 10,000."""

_FILL = """
    INSERT INTO {table} (id, kind, recipient, message_id, mime, request_id)
    SELECT uuidv7(), 'bench.mail', 'p' || n || '@example.test', '<' || n || '@bench>',
           decode(repeat('41', 2000), 'hex'), 'bench'
    FROM generate_series(1, {count}) AS n
"""
_CLAIM = """
    UPDATE bare SET next_attempt_at = now() + interval '75 s'
    WHERE id IN (SELECT id FROM bare WHERE state = 'pending' AND next_attempt_at <= now()
                 ORDER BY next_attempt_at LIMIT 500 FOR UPDATE SKIP LOCKED)
    RETURNING id, recipient, mime
"""
_MARK = "UPDATE bare SET state = 'sent' WHERE id = ANY($1)"
_DONE = "SELECT count(*) FROM mail_deliveries JOIN mail_attempts ON delivery_id = id WHERE state = 'sent'"


async def measure(*, quick: bool) -> list[Figure]:
    """Drain 10,000 deliveries in each round, 2,000 when quick."""
    count, rounds = (2_000, 2) if quick else (10_000, 5)
    async with postgres.migrated(MailPlugin) as dsn:
        await postgres.run(dsn, "CREATE TABLE bare (LIKE mail_deliveries INCLUDING ALL)")
        sides: dict[str, Any] = {"bare": lambda: _bare_round(dsn, count), "ours": lambda: _our_round(dsn, count)}
        missing = ""
        try:
            python = await rivals_python()
        except RivalsMissing as error:
            missing = str(error)
        else:
            sides["pgqueuer"] = lambda: _rival_round(dsn, python, "pgqueuer", count)
            sides["procrastinate"] = lambda: _rival_round(dsn, python, "procrastinate", min(count, _SLOW))
        taken = await interleave(rounds, **sides)
    what = f"outbox drain, {count:,} mails"
    figures = [taken.figure("S-1", what, UNIT, "rate", against="bare", goal=0.5)]
    for rival, goal in (("pgqueuer", 3.0), ("procrastinate", 50.0)):
        if missing:
            figures.append(Figure("S-1", what, UNIT, against=rival, goal=goal, note=missing))
        else:
            figures.append(taken.figure("S-1", what, UNIT, "rate", against=rival, goal=goal))
    return figures


async def _our_round(dsn: str, count: int) -> Values:
    await postgres.run(dsn, "TRUNCATE mail_deliveries, mail_attempts", *_filled("mail_deliveries", count))
    values: Values = await alone("bench.outbox:ours", dsn=dsn, count=count)
    connection = await asyncpg.connect(dsn)
    try:
        sent = await connection.fetchval(_DONE)
    finally:
        await connection.close()
    if sent != count:
        raise RuntimeError(f"outbox drain: only {sent} of {count} deliveries were sent and have their history")
    return values


async def _bare_round(dsn: str, count: int) -> Values:
    await postgres.run(dsn, "TRUNCATE bare", *_filled("bare", count))
    values: Values = await alone("bench.outbox:bare", dsn=dsn, count=count)
    return values


async def _rival_round(dsn: str, python: Path, name: str, count: int) -> Values:
    await postgres.run(dsn, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}", "CHECKPOINT")
    own = dsn.partition("?")[0].rpartition("/")[0] + f"/{name}"
    values: Values = await script(python, _SCRIPTS / f"{name}_drain.py", dsn=own, count=count)
    return values


def _filled(table: str, count: int) -> tuple[str, ...]:
    return _FILL.format(table=table, count=count), f"VACUUM ANALYZE {table}", "CHECKPOINT"


class _NullTransport:
    """Takes every mail at once."""

    async def send(self, recipient: str, content: bytes) -> Reply:
        return Reply(250, f"OK {len(recipient) + len(content)}")

    async def check(self) -> None:
        return None

    async def trim(self) -> None:
        return None

    async def close(self) -> None:
        return None


async def ours(dsn: str, count: int) -> Values:
    """Run the mail worker until nothing is due."""
    configure_logging("info")
    settings, clock, source = MailSettings(smtp=SmtpSettings()), SystemClock(), random.Random(1)
    async with postgres.opened(dsn) as database:
        deliverer = Deliverer(
            database,
            delivery_queue(settings, clock=clock, random=source),
            _NullTransport(),
            Sealer(bytes(32)),
            settings,
            clock=clock,
            random=source,
            log=get_logger("galaxy_mail", plugin="mail"),
            meter=NoOpMeter("bench"),
        )
        started = time.perf_counter()
        while await deliverer.run():
            pass
        return {"rate": count / (time.perf_counter() - started)}


async def bare(dsn: str, count: int) -> Values:
    """Claim 500 and mark 500 until nothing is due."""
    connection = await asyncpg.connect(dsn)
    started = time.perf_counter()
    while rows := await connection.fetch(_CLAIM):
        await connection.execute(_MARK, [row["id"] for row in rows])
    took = time.perf_counter() - started
    await connection.close()
    return {"rate": count / took}
