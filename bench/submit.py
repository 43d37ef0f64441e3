"""S-4: `notification.submit` in the caller's transaction, 50 callers at once, against a bare insert.

Ours keeps an intent for one player with its two routes, checked against the catalogue, and commits. The rivals insert
the intent's row alone: BEGIN, INSERT, COMMIT. One uses our database layer, as any plugin does for its own rows, and
shows what submitting costs beyond that; the other is asyncpg by itself, and shows what the layer costs as well. No
worker runs, so that nothing but submitting is measured. A replayed key is a submit of an intent that exists already.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from pydantic import Field

from bench import postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import Channel, Intent, NotificationKind
from galaxy_contracts.testing import FakeAccounts, FakeOutbox
from galaxy_devkit.testing.kernel import offering
from galaxy_kernel.api import Model, new_id, request_id
from galaxy_kernel.database import Database, make_engine, schema_of
from galaxy_notification import queries
from galaxy_notification.catalogue import Catalogue
from galaxy_notification.plugin import NotificationPlugin
from galaxy_notification.tables import notifications

AT_ONCE = 50
_BARE = (
    "INSERT INTO notifications (id, kind, idempotency_key, payload, request_id) "
    "VALUES ($1, 'bench.turn_ready', $2, $3, 'bench')"
)
_PAYLOAD = {"game": "Andromeda", "turn": 7}
Operation = Callable[[int], Awaitable[object]]


class TurnReady(Model):
    """The intents' payload."""

    game: str = Field(examples=["Andromeda"])
    turn: int = Field(examples=[7])


KIND = NotificationKind(
    name="bench.turn_ready",
    summary="A turn is ready.",
    payload=TurnReady,
    channels=(Channel.EMAIL, Channel.PUSH),
    package="bench",
)


async def measure(*, quick: bool) -> list[Figure]:
    """Submit 5,000 intents in each round and replay them, 1,000 when quick."""
    count, rounds = (1_000, 2) if quick else (5_000, 5)
    fakes = offering("fakes", {ACCOUNTS: FakeAccounts(), OUTBOX: FakeOutbox()})
    async with postgres.migrated(NotificationPlugin, fakes) as dsn:
        sides: dict[str, Run] = {
            "bare insert": partial(_round, dsn, "bench.submit:plain", count),
            "asyncpg insert": partial(_round, dsn, "bench.submit:bare", count),
            "ours": partial(_round, dsn, "bench.submit:ours", count),
        }
        taken = await interleave(rounds, **sides)
    figure = partial(taken.figure, "S-4", rival_name="rate")
    return [
        figure(what, "/s", name, against=rival, goal=goal)
        for rival in ("bare insert", "asyncpg insert")
        for what, name, goal in (("submit, 50 at once", "rate", 0.5), ("replayed key, 50 at once", "replayed", 1.0))
    ]


async def _round(dsn: str, function: str, count: int) -> Values:
    await postgres.run(dsn, "TRUNCATE notifications, notification_routes", "CHECKPOINT")
    values: Values = await alone(function, dsn=dsn, count=count)
    return values


async def ours(dsn: str, count: int) -> Values:
    """Submit as a service does, then submit the same again."""
    catalogue, account = Catalogue(), new_id()
    catalogue.register(KIND)
    database = Database(make_engine(dsn, pool_size=AT_ONCE), schema_of(dsn))

    async def submit(number: int) -> UUID:
        intent = Intent(kind=KIND.name, idempotency_key=f"key {number}", payload=_PAYLOAD, recipients=(account,))
        async with database.transaction() as connection:
            return (await queries.submit(connection, [catalogue.check(intent)], request_id()))[0]

    try:
        await _at_once(AT_ONCE, lambda _: database.ping())
        return {"rate": await _at_once(count, submit), "replayed": await _at_once(count, submit)}
    finally:
        await database.close()


async def plain(dsn: str, count: int) -> Values:
    """Insert as a plugin that keeps rows of its own."""
    database = Database(make_engine(dsn, pool_size=AT_ONCE), schema_of(dsn))

    async def insert(number: int) -> None:
        row = {
            "id": new_id(),
            "kind": KIND.name,
            "idempotency_key": f"key {number}",
            "payload": _PAYLOAD,
            "request_id": request_id(),
        }
        async with database.transaction() as connection:
            await connection.execute(notifications.insert(), row)

    try:
        await _at_once(AT_ONCE, lambda _: database.ping())
        return {"rate": await _at_once(count, insert)}
    finally:
        await database.close()


async def bare(dsn: str, count: int) -> Values:
    """Insert with asyncpg alone."""
    async with asyncpg.create_pool(dsn, min_size=AT_ONCE, max_size=AT_ONCE) as pool:

        async def insert(number: int) -> Any:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(_BARE, uuid4(), f"key {number}", '{"game":"Andromeda","turn":7}')

        return {"rate": await _at_once(count, insert)}


async def _at_once(count: int, operation: Operation) -> float:
    """Do an operation for each number, `AT_ONCE` at a time, and return how many a second."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await operation(number)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)
