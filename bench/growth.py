"""How cost grows: with 1,000, 10,000 and 100,000 queued mails, and with as many accounts.

*Mails*: the drain of `bench.outbox`, and the time of one claim of 500 in its transaction, COMMIT included, while so
many are due and as many were sent before. *Accounts*, each signed in once: a `backend serve` with whatever is
installed, from its start until it is ready, the memory that it holds then, and its answers to an authenticated GET.
*Games*, each live, of four seats and asleep until tomorrow: the same start, and from the memory of the largest and the
smallest how much a game takes, and how many 1 GB holds (`docs/capacity.md`; the last one is computed). Every line is
compared with the one for 1,000; unlike elsewhere, more is worse for times and memory.
"""

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial

from bench import deliveries, games, postgres
from bench.http import PATH
from bench.load import loaded
from bench.process import alone
from bench.rounds import Figure, Rounds, Run, Values, interleave
from bench.serve import SIGNED_IN, TOKEN, backend
from galaxy_chassis.clock import SystemClock
from galaxy_kernel.queue.queue import Outcome, Result
from galaxy_mail.queue import delivery_queue
from galaxy_mail.settings import MailSettings, SmtpSettings
from galaxy_mail.tables import mail_deliveries as mails

SIZES = (1_000, 10_000, 100_000)
CLAIMS = 20
"""Claims, of which the median counts; the rows are handed back."""
BATCH = 500
_SENT = """
    INSERT INTO mail_deliveries (id, kind, message_id, request_id, state, attempts, next_attempt_at, finished_at)
    SELECT uuidv7(), 'bench.mail', '<' || n || '@bench>', 'bench', 'sent', 1, NULL, now()
    FROM generate_series(1, {count}) AS n
"""
_ACCOUNTS = (
    "INSERT INTO accounts (id, email, email_folded, display_name, language, time_zone, created_at) "
    "SELECT uuidv7(), 'p' || n || '@example.test', 'p' || n || '@example.test', 'Player ' || n, 'en', 'UTC', now() "
    "FROM generate_series(2, {count}) AS n",
    "INSERT INTO device_sessions SELECT uuidv7(), id, sha256(uuid_send(id)), 'bench', now(), now(), "
    "now() + interval '1 day' FROM accounts",
    *SIGNED_IN,
    "VACUUM ANALYZE",
    "CHECKPOINT",
)


async def measure(*, quick: bool) -> list[Figure]:
    """Measure each size twice; once and without the largest when quick."""
    sizes, rounds = (SIZES[:2], 1) if quick else (SIZES, 2)
    async with postgres.migrated() as dsn:
        drained = await _taken(sizes, rounds, partial(_drain, dsn))
        claimed = await _taken(sizes, rounds, partial(_claim, dsn))
        served = await _taken(sizes, rounds, partial(_serve, dsn, 1.0 if quick else 3.0))
        hosted = await _taken(sizes, rounds, partial(_host, dsn))
    return [
        *_figures(drained, sizes, "mails", "drain", "mails/s", "rate"),
        *_figures(claimed, sizes, "mails", f"claim of {BATCH}", "ms", "claim"),
        *_figures(served, sizes, "accounts", "ready after the start", "s", "took"),
        *_figures(served, sizes, "accounts", "memory", "MB", "resident"),
        *_figures(served, sizes, "accounts", "authenticated GET, by server CPU", "/CPU s", "by_cpu"),
        *_figures(hosted, sizes, "live games", "ready after the start", "s", "took"),
        *_figures(hosted, sizes, "live games", "memory", "MB", "resident"),
        *_a_game(hosted, sizes),
    ]


def _a_game(hosted: Rounds, sizes: tuple[int, ...]) -> list[Figure]:
    """Return what one live game takes of memory, and how many fit into 1 GB: computed from the measured sizes."""
    least, most = (hosted.median(f"{size:,}", "resident") for size in (sizes[0], sizes[-1]))
    each = (most - least) / (sizes[-1] - sizes[0])
    fit = (1_000 - least) / each + sizes[0]
    return [
        Figure("-", "memory of a live game of four seats, caches and all", "kB", 1_000 * each),
        Figure("-", "sleeping games in 1 GB, computed", "games", fit),
    ]


async def _taken(sizes: tuple[int, ...], rounds: int, run: Callable[[int], Awaitable[Values]]) -> Rounds:
    sides: dict[str, Run] = {f"{size:,}": partial(run, size) for size in sizes}
    return await interleave(rounds, **sides)


def _figures(taken: Rounds, sizes: tuple[int, ...], of: str, what: str, unit: str, name: str) -> list[Figure]:
    first, *others = (f"{size:,}" for size in sizes)
    return [
        taken.figure("-", f"{what}, {first} {of}", unit, name, ours=first),
        *(
            taken.figure("-", f"{what}, {size} {of}", unit, name, ours=size, against=first, named=f"{first} {of}")
            for size in others
        ),
    ]


async def _drain(dsn: str, count: int) -> Values:
    await deliveries.fill(dsn, count)
    values: Values = await alone("bench.outbox:ours", dsn=dsn, count=count)
    await deliveries.check(dsn, count)
    return values


async def _claim(dsn: str, count: int) -> Values:
    await deliveries.fill(dsn, count)
    await postgres.run(dsn, _SENT.format(count=count), "VACUUM ANALYZE mail_deliveries", "CHECKPOINT")
    values: Values = await alone("bench.growth:claim", dsn=dsn)
    return values


async def claim(dsn: str) -> Values:
    """Claim again and again, and hand the rows back each time."""
    queue = delivery_queue(MailSettings(smtp=SmtpSettings()), clock=SystemClock(), random=random.Random(1))
    columns = (mails.c.kind, mails.c.request_id, mails.c.recipient, mails.c.mime, mails.c.sealed)
    took = []
    async with postgres.opened(dsn) as database:
        for _ in range(CLAIMS):
            started = time.perf_counter()
            async with database.transaction() as connection:
                claims = await queue.claim(connection, BATCH, *columns)
            took.append(time.perf_counter() - started)
            if len(claims) != BATCH:
                raise RuntimeError(f"growth: a claim gave {len(claims)} of {BATCH} mails")
            async with database.transaction() as connection:
                await queue.complete(connection, [Result(each, Outcome.RELEASED) for each in claims])
    return {"claim": 1000 * statistics.median(took)}


async def _serve(dsn: str, seconds: float, count: int) -> Values:
    await postgres.run(dsn, "TRUNCATE accounts, device_sessions", *(each.format(count=count) for each in _ACCOUNTS))
    async with backend(dsn, postgres.QUIET) as served:
        memory = served.resident
        values = await loaded(served.port, served.pid, PATH, TOKEN, seconds)
    return {"took": served.took, "resident": memory, **values}


async def _host(dsn: str, count: int) -> Values:
    await games.fill(dsn, count, [games.GAMES, games.MEMBERS, games.RECORDS])
    async with backend(dsn, {**postgres.QUIET, "BACKEND_RUNTIME_DRIVER": "process"}) as served:
        return {"took": served.took, "resident": served.resident}
