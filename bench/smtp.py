"""S-2: from the mail queue through SMTP into a Postfix that throws everything away, on ten connections.

Ours is the real worker with the real transport, its leases and history included, draining a queue that is full. The
rivals only send, the same bytes or as many, ten at a time: `smtp-source`, the C programme that comes with Postfix, with
kept connections (`-d`; it has no TLS, so that comparison is without), and aiosmtplib with a connection of its own for
each message. That one is compared over STARTTLS, our default, and for information without.
"""

import asyncio
import ssl
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aiosmtplib import SMTP

from bench import deliveries, postgres
from bench.postfix import Postfix, PostfixMissing, discarding
from bench.process import alone
from bench.rounds import Figure, Rounds, Run, Values, interleave
from galaxy_mail.plugin import MailPlugin
from galaxy_mail.settings import SmtpSettings
from galaxy_mail.transport import SmtpTransport, tls_context

SESSIONS = 10
_RIVALS = (("plain", "smtp-source", 0.6), ("tls", "one_each_tls", 4.0), ("plain", "one_each", None))
_NAMES = {"smtp-source": "smtp-source", "one_each": "connection a message", "one_each_tls": "connection a message"}
_WHAT = {"plain": "outbox to Postfix", "tls": "outbox to Postfix, STARTTLS"}


async def measure(*, quick: bool) -> list[Figure]:
    """Send 2,000 mails in each round, 500 when quick."""
    count, rounds = (500, 2) if quick else (2_000, 3)
    try:
        taken = await _taken(count, rounds)
    except PostfixMissing as missing:
        return [
            Figure("S-2", _WHAT[ours], "mails/s", against=_NAMES[rival], goal=goal, note=str(missing))
            for ours, rival, goal in _RIVALS
        ]
    return [
        taken.figure("S-2", _WHAT[ours], "mails/s", "rate", ours=ours, against=rival, named=_NAMES[rival], goal=goal)
        for ours, rival, goal in _RIVALS
    ]


async def _taken(count: int, rounds: int) -> Rounds:
    async with discarding() as postfix, postgres.migrated(MailPlugin) as dsn:
        port, certificate = postfix.port, str(postfix.certificate)
        one_each = partial(alone, "bench.smtp:sent_one_each", count=count // 3, port=port, certificate=certificate)
        sides: dict[str, Run] = {
            "smtp-source": partial(_source, port, count),
            "plain": partial(_drained, dsn, count, port, certificate, tls=False),
            "tls": partial(_drained, dsn, count, port, certificate, tls=True),
            "one_each": partial(one_each, tls=False),
            "one_each_tls": partial(one_each, tls=True),
        }
        return await interleave(rounds, **{name: partial(_after, postfix, run) for name, run in sides.items()})


async def _after(postfix: Postfix, run: Run) -> Values:
    """Wait until the relay is idle after each side, so that no side pays for the one before."""
    values = await run()
    await postfix.idle()
    return values


async def _source(port: int, count: int) -> Values:
    command = ("smtp-source", "-d", "-s", str(SESSIONS), "-m", str(count), "-l", str(deliveries.SIZE))
    addresses = ("-f", "bench@example.test", "-t", "player@example.test", f"127.0.0.1:{port}")
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, *addresses, stdout=DEVNULL)
    if await process.wait() != 0:
        raise RuntimeError(f"smtp-source ended with status {process.returncode}; see above")
    return {"rate": count / (time.perf_counter() - started)}


async def _drained(dsn: str, count: int, port: int, certificate: str, *, tls: bool) -> Values:
    await deliveries.fill(dsn, count)
    values: Values = await alone("bench.smtp:ours", dsn=dsn, count=count, port=port, certificate=certificate, tls=tls)
    await deliveries.check(dsn, count)
    return values


async def ours(dsn: str, count: int, port: int, certificate: str, tls: bool) -> Values:
    """Run the mail worker until nothing is due."""
    smtp = _settings(port, certificate, tls=tls)
    transport = SmtpTransport(smtp, tls_context(smtp))
    try:
        return await deliveries.drain(dsn, count, transport, smtp)
    finally:
        await transport.close()


async def sent_one_each(count: int, port: int, certificate: str, tls: bool) -> Values:
    """Send with aiosmtplib, each message on a connection of its own, ten at a time."""
    context = tls_context(_settings(port, certificate, tls=tls))
    left = iter(range(count))
    started = time.perf_counter()
    await asyncio.gather(*(_send(left, port, context if tls else None) for _ in range(SESSIONS)))
    return {"rate": count / (time.perf_counter() - started)}


async def _send(left: Iterator[int], port: int, context: ssl.SSLContext | None) -> None:
    for number in left:
        client = SMTP(
            hostname="127.0.0.1", port=port, start_tls=context is not None, tls_context=context, local_hostname="bench"
        )
        async with client:
            await client.sendmail("bench@example.test", [f"p{number}@example.test"], deliveries.CONTENT)


def _settings(port: int, certificate: str, *, tls: bool) -> SmtpSettings:
    return SmtpSettings(
        host="127.0.0.1",
        port=port,
        tls_mode="starttls" if tls else "none",
        ca_file=Path(certificate),
        connections=SESSIONS,
    )
