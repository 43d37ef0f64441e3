"""S-1: draining the mail queue with its full semantics into a null transport.

Ours is the real worker: leases, fencing, attempt history, expiry, request ids, metrics, through our database layer. The
bare loop is asyncpg with one statement that claims 500 rows and one that marks them sent, in a table of the same
columns and indexes, and nothing else. The other queues drain jobs that do nothing and carry nothing, each once with its
defaults, which the goals refer to, and once tuned: pgqueuer as many as ours, with its default batches (10) and with
batches as large as ours; procrastinate with its default of one job at a time and with ten. Procrastinate drains fewer,
for it would take most of a minute, and is as fast with more.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bench import deliveries, postgres
from bench.process import alone, script
from bench.rivals import RivalsMissing, rivals_python
from bench.rounds import Figure, Values, interleave
from galaxy_mail.conversation import Reply
from galaxy_mail.plugin import MailPlugin
from galaxy_mail.settings import SmtpSettings

UNIT = "mails/s"
_SCRIPTS = Path(__file__).parent / "rival_scripts"
_SLOW = 2_000
"""Jobs for procrastinate, which would take most of a minute over 10,000."""
_GOALS = {"pgqueuer": 3.0, "pgqueuer by 500": None, "procrastinate": 50.0, "procrastinate, ten at once": None}

_CLAIM = """
    UPDATE bare SET next_attempt_at = now() + interval '75 s'
    WHERE id IN (SELECT id FROM bare WHERE state = 'pending' AND next_attempt_at <= now()
                 ORDER BY next_attempt_at LIMIT 500 FOR UPDATE SKIP LOCKED)
    RETURNING id, recipient, mime
"""
_MARK = "UPDATE bare SET state = 'sent' WHERE id = ANY($1)"


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
            sides["pgqueuer"] = lambda: _rival_round(dsn, python, "pgqueuer", count=count, batch=10)
            sides["pgqueuer by 500"] = lambda: _rival_round(dsn, python, "pgqueuer", count=count, batch=500)
            few = partial(_rival_round, dsn, python, "procrastinate", count=min(count, _SLOW))
            sides["procrastinate"] = partial(few, concurrency=1)
            sides["procrastinate, ten at once"] = partial(few, concurrency=10)
        taken = await interleave(rounds, **sides)
    what = f"outbox drain, {count:,} mails"
    figures = [taken.figure("S-1", what, UNIT, "rate", against="bare", goal=0.5)]
    for rival, goal in _GOALS.items():
        if missing:
            figures.append(Figure("S-1", what, UNIT, against=rival, goal=goal, note=missing))
        else:
            figures.append(taken.figure("S-1", what, UNIT, "rate", against=rival, goal=goal))
    return figures


async def _our_round(dsn: str, count: int) -> Values:
    await deliveries.fill(dsn, count)
    values: Values = await alone("bench.outbox:ours", dsn=dsn, count=count)
    await deliveries.check(dsn, count)
    return values


async def _bare_round(dsn: str, count: int) -> Values:
    await deliveries.fill(dsn, count, "bare")
    values: Values = await alone("bench.outbox:bare", dsn=dsn, count=count)
    return values


async def _rival_round(dsn: str, python: Path, name: str, **arguments: int) -> Values:
    await postgres.run(dsn, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}", "CHECKPOINT")
    own = dsn.partition("?")[0].rpartition("/")[0] + f"/{name}"
    values: Values = await script(python, _SCRIPTS / f"{name}_drain.py", dsn=own, **arguments)
    return values


class NullTransport:
    """Accepts every mail at once."""

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
    return await deliveries.drain(dsn, count, NullTransport(), SmtpSettings())


async def bare(dsn: str, count: int) -> Values:
    """Claim 500 and mark 500 until nothing is due."""
    connection = await asyncpg.connect(dsn)
    started = time.perf_counter()
    while rows := await connection.fetch(_CLAIM):
        await connection.execute(_MARK, [row["id"] for row in rows])
    took = time.perf_counter() - started
    await connection.close()
    return {"rate": count / took}
