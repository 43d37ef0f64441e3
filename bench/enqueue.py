"""S-3: from the call of `enqueue` to the first byte of that mail at the relay, at low load.

The backend (the kernel with the mail plugin alone, its database durable) is a process of its own; the relay is an SMTP
server in this one. Both read the machine's monotonic clock. The time counts from before the caller's transaction is
opened, so it includes rendering, the INSERT, the COMMIT, the wake-up, the claim and its COMMIT; it ends when MAIL FROM
is read, on a kept connection where there is one.
"""

import asyncio
import random
import statistics
import time

from bench import postgres
from bench.process import alone
from bench.relay import relay
from bench.rounds import Figure, Values, interleave
from galaxy_chassis.logs import configure_logging
from galaxy_contracts.mail import OUTBOX, MailKind, Message
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.kernel import Kernel
from galaxy_mail.plugin import MailPlugin

KIND = MailKind(name="bench.notice", package="bench")
PAUSE = (0.025, 0.075)
"""Bounds of the seconds between two mails: 20 a second on average."""
_WARM = 20
"""Mails that do not count: they open the connections and fill the statement caches."""


async def measure(*, quick: bool) -> list[Figure]:
    """Queue 400 mails in each round, 100 when quick."""
    count, rounds = (100, 2) if quick else (400, 3)
    async with postgres.migrated(MailPlugin) as dsn:
        taken = await interleave(rounds, ours=lambda: _round(dsn, count))
    what = "enqueue to first byte at the relay"
    return [
        taken.figure("S-3", f"{what}, p50", "ms", "p50"),
        taken.figure("S-3", f"{what}, p99", "ms", "p99", goal=20.0),
    ]


async def _round(dsn: str, count: int) -> Values:
    seen: dict[str, float] = {}

    def took(recipient: str, _: bytes, came: float) -> None:
        seen.setdefault(recipient, came)

    async with relay(took) as port:
        queued: dict[str, float] = await alone("bench.enqueue:ours", dsn=dsn, port=port, count=count + _WARM)
    missing = [recipient for recipient in queued if recipient not in seen]
    if missing:
        raise RuntimeError(f"enqueue: {len(missing)} of {len(queued)} mails did not reach the relay")
    late = [1000 * (seen[recipient] - at) for recipient, at in list(queued.items())[_WARM:]]
    hundredths = statistics.quantiles(late, n=100, method="inclusive")
    return {"p50": hundredths[49], "p99": hundredths[98]}


async def ours(dsn: str, port: int, count: int) -> dict[str, float]:
    """Boot the backend and queue mails; return when each was requested, by recipient."""
    configure_logging("info")
    environment = {
        **postgres.ENVIRONMENT,
        "BACKEND_POSTGRES_DSN": dsn,
        "BACKEND_HTTP_LISTEN_ADDR": "127.0.0.1:0",
        "BACKEND_SMTP_HOST": "127.0.0.1",
        "BACKEND_SMTP_PORT": str(port),
        "BACKEND_SMTP_TLS_MODE": "none",
    }
    source, queued = random.Random(1), dict[str, float]()
    kernel = Kernel(assemble(environment, discovery=from_classes(MailPlugin)))
    async with kernel.running():
        outbox = kernel.services.require(OUTBOX, asked_by="bench")
        outbox.register(KIND)
        for number in range(count):
            await asyncio.sleep(source.uniform(*PAUSE))
            recipient = f"p{number}@example.test"
            queued[recipient] = time.monotonic()
            async with kernel.database.transaction() as connection:
                message = Message(KIND.name, recipient, "en", {"number": number})
                await outbox.enqueue(connection, message)
        await asyncio.sleep(1.0)  # the last ones are on their way; the relay's side notices a missing one
    return queued
