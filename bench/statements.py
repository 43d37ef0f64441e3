"""What our database layer costs: a select by key, an insert, and a transaction of three statements.

Ours is `Database` (SQLAlchemy Core over its pool, a connection checked out for each, as services do) with each driver;
the rival is asyncpg on one connection that is held, with its prepared statements. One after the other, no concurrency.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy import Uuid as UuidType

from bench import postgres
from bench.process import alone
from bench.rounds import Figure, Run, Values, interleave
from galaxy_user.plugin import UserPlugin

ROWS = 10_000
OPERATIONS = {"select": "select by key", "insert": "insert", "transaction": "3-statement transaction"}
_TABLE = (
    "CREATE TABLE bench_rows (id uuid PRIMARY KEY, name text NOT NULL, number integer NOT NULL, at timestamptz)",
    f"INSERT INTO bench_rows SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'row', n, now() "
    f"FROM generate_series(0, {ROWS - 1}) AS n",
    "VACUUM ANALYZE bench_rows",
    "CHECKPOINT",
)
_SELECT = "SELECT id, name, number, at FROM bench_rows WHERE id = {id}"
_INSERT = "INSERT INTO bench_rows (id, name, number, at) VALUES ({id}, 'new', 1, now())"
_UPDATE = "UPDATE bench_rows SET number = number + 1 WHERE id = {id}"
Operation = Callable[[UUID], Awaitable[object]]


async def measure(*, quick: bool) -> list[Figure]:
    """Do 1,000 of each in each round, 400 when quick."""
    count, rounds = (400, 2) if quick else (1_000, 3)
    async with postgres.migrated(UserPlugin) as dsn:
        sides: dict[str, Run] = {"asyncpg raw": partial(_round, dsn, "bench.statements:bare", "asyncpg", count)}
        sides |= {driver: partial(_round, dsn, "bench.statements:ours", driver, count) for driver in postgres.DRIVERS}
        taken = await interleave(rounds, **sides)
    return [
        taken.figure("-", f"{what}, {driver}", "/s", name, ours=driver, against="asyncpg raw")
        for name, what in OPERATIONS.items()
        for driver in postgres.DRIVERS
    ]


async def _round(dsn: str, function: str, driver: str, count: int) -> Values:
    await postgres.run(dsn, "DROP TABLE IF EXISTS bench_rows", *_TABLE)
    values: Values = await alone(function, dsn=dsn, driver=driver, count=count)
    return values


async def ours(dsn: str, driver: str, count: int) -> Values:
    """Through `Database`, with statements built once."""
    select, insert, update = _built(_SELECT), _built(_INSERT), _built(_UPDATE)
    async with postgres.opened(postgres.by_driver(dsn, driver)) as database:

        async def select_one(key: UUID) -> None:
            async with database.reading() as connection:
                (await connection.execute(select, {"id": key})).one()

        async def insert_one(_: UUID) -> None:
            async with database.transaction() as connection:
                await connection.execute(insert, {"id": uuid4()})

        async def transact(key: UUID) -> None:
            async with database.transaction() as connection:
                (await connection.execute(select, {"id": key})).one()
                await connection.execute(update, {"id": key})
                await connection.execute(insert, {"id": uuid4()})

        return await _timed(count, select_one, insert_one, transact)


async def bare(dsn: str, driver: str, count: int) -> Values:  # noqa: ARG001 - the same arguments as ours
    """With asyncpg alone."""
    connection = await asyncpg.connect(dsn)
    select, insert, update = (each.format(id="$1") for each in (_SELECT, _INSERT, _UPDATE))

    async def select_one(key: UUID) -> None:
        await connection.fetchrow(select, key)

    async def insert_one(_: UUID) -> None:
        await connection.execute(insert, uuid4())

    async def transact(key: UUID) -> None:
        async with connection.transaction():
            await connection.fetchrow(select, key)
            await connection.execute(update, key)
            await connection.execute(insert, uuid4())

    values = await _timed(count, select_one, insert_one, transact)
    await connection.close()
    return values


async def _timed(count: int, *operations: Operation) -> Values:
    values: Values = {}
    for name, operation in zip(OPERATIONS, operations, strict=True):
        for number in range(50):
            await operation(_key(number))
        started = time.perf_counter()
        for number in range(count):
            await operation(_key(number * 7919))
        values[name] = count / (time.perf_counter() - started)
    return values


def _key(number: int) -> UUID:
    return UUID(f"00000000-0000-4000-8000-{number % ROWS:012x}")


def _built(template: str) -> TextClause:
    return text(template.format(id=":id")).bindparams(bindparam("id", type_=UuidType))
