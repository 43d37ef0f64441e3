"""A full mail queue, and the real worker to drain it: shared by the measures of mail."""

import random
import time

import asyncpg
from opentelemetry.metrics import NoOpMeter

from bench import postgres
from bench.rounds import Values
from galaxy_chassis.clock import SystemClock
from galaxy_chassis.gc_tuning import freeze
from galaxy_chassis.logs import configure_logging, get_logger
from galaxy_mail.queue import delivery_queue
from galaxy_mail.sealing import Sealer
from galaxy_mail.settings import MailSettings, SmtpSettings
from galaxy_mail.transport import Transport
from galaxy_mail.workers import Deliverer

SIZE = 2_000
"""Bytes of a mail: about the length of a short one in text and HTML."""
_HEAD = b"From: bench@example.test\r\nTo: player@example.test\r\nSubject: A turn is ready\r\n\r\n"
_BODY = b"Send your orders before the next one, or your fleets stay where they are.\r\n" * 30
CONTENT = (_HEAD + _BODY)[: SIZE - 2] + b"\r\n"
_FILL = f"""
    INSERT INTO {{table}} (id, kind, recipient, message_id, mime, request_id)
    SELECT uuidv7(), 'bench.mail', 'p' || n || '@example.test', '<' || n || '@bench>', '\\x{CONTENT.hex()}', 'bench'
    FROM generate_series(1, {{count}}) AS n
"""
_DONE = "SELECT count(*) FROM mail_deliveries JOIN mail_attempts ON delivery_id = id WHERE state = 'sent'"


async def fill(dsn: str, count: int, table: str = "mail_deliveries") -> None:
    """Empty the tables, queue so many mails, and wait until the server is idle."""
    tables = ", ".join({"mail_deliveries", "mail_attempts", table})
    await postgres.run(
        dsn, f"TRUNCATE {tables}", _FILL.format(table=table, count=count), f"VACUUM ANALYZE {table}", "CHECKPOINT"
    )


async def check(dsn: str, count: int) -> None:
    """Raise RuntimeError unless so many mails were sent, each with its history."""
    connection = await asyncpg.connect(dsn)
    try:
        sent = await connection.fetchval(_DONE)
    finally:
        await connection.close()
    if sent != count:
        raise RuntimeError(f"mail: only {sent} of {count} deliveries were sent and have their history")


async def drain(dsn: str, count: int, transport: Transport, smtp: SmtpSettings) -> Values:
    """Run the mail worker until nothing is due; return how many mails it has sent a second."""
    configure_logging("info")
    settings, clock, source = MailSettings(smtp=smtp), SystemClock(), random.Random(1)
    async with postgres.opened(dsn) as database:
        deliverer = Deliverer(
            database,
            delivery_queue(settings, clock=clock, random=source),
            transport,
            Sealer(bytes(32)),
            settings,
            clock=clock,
            random=source,
            log=get_logger("galaxy_mail", plugin="mail"),
            meter=NoOpMeter("bench"),
        )
        freeze()
        started = time.perf_counter()
        while await deliverer.run() is True:
            pass
        return {"rate": count / (time.perf_counter() - started)}
