"""A program for test_workers: workers that die by kill -9, each at a line drawn at random, and a last one that lives.

Arguments: DSN, the relay's port, the number of workers to kill, a seed.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import structlog
from opentelemetry.metrics import NoOpMeter

from galaxy_chassis.clock import SystemClock
from galaxy_kernel.database import Database, make_engine
from galaxy_mail.queue import delivery_queue
from galaxy_mail.sealing import Sealer
from galaxy_mail.settings import MailSettings, SmtpSettings
from galaxy_mail.transport import SmtpTransport, tls_context
from galaxy_mail.workers import Deliverer

TRACED = (
    "/galaxy_mail/",
    "/galaxy_kernel/queue.py",
    "/galaxy_kernel/pump.py",
    "/galaxy_kernel/database/",
    "/aiosmtplib/",
)
LINES = 6000
"""Lines within which a worker dies."""


def die_at(line: int) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that kills this process before the given line of ours."""

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal line
        if not any(part in frame.f_code.co_filename for part in TRACED):
            return None
        if event == "line":
            line -= 1
            if line <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


async def work(dsn: str, port: int) -> None:
    """Deliver until nothing is queued."""
    database = Database(make_engine(dsn), "backend")
    settings = MailSettings(
        max_attempts=100, smtp=SmtpSettings(port=port, tls_mode="none", timeout=timedelta(seconds=0.5))
    )
    clock = SystemClock()
    transport = SmtpTransport(settings.smtp, tls_context(settings.smtp))
    queue = delivery_queue(settings, clock=clock, random=random.Random(1), lease=timedelta(seconds=1))
    deliverer = Deliverer(
        database,
        queue,
        transport,
        Sealer(bytes(range(32))),
        settings,
        clock=clock,
        random=random.Random(1),
        log=structlog.get_logger(),
        meter=NoOpMeter("test"),
    )
    while True:
        await deliverer.run()
        async with database.reading() as connection:
            if (await queue.backlog(connection, 1)).queued == 0:
                break
        await asyncio.sleep(0.05)
    await transport.close()
    await database.close()


def main() -> None:
    """Fork one worker after the other."""
    dsn, port, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    drawn = random.Random(seed)
    for life in range(kills + 1):
        last_line = drawn.randrange(1, LINES)
        child = os.fork()
        if child == 0:
            if life < kills:
                sys.settrace(die_at(last_line))
            asyncio.run(work(dsn, port))
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
