"""The connection of a run of migrations, which also holds the lock against other runners.

One connection is both: if it breaks, PostgreSQL rolls the open revision back and frees the lock in the same moment, so
that no runner works on without the lock.
"""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galaxy_migrations.errors import MigrationError

_POLL = 0.1  # seconds between two attempts to get the lock, on average
_DISCONNECTED = "1s"

_SETTINGS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",  # applies to CREATE INDEX CONCURRENTLY only, for which no statement waits
}

_HOLDER = sa.text("""
    SELECT string_agg(format('pid %s (%s)', l.pid, coalesce(nullif(a.application_name, ''), 'unnamed')), ', ')
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32) | l.objid::bigint = :key
""")


class Log(Protocol):
    """Receives a runner's progress."""

    def __call__(self, message: str, *, plugin: str | None = None) -> None:
        """Receive one line; `plugin` is the one it is about."""


def silent(message: str, *, plugin: str | None = None) -> None:
    """Ignore a line."""


def lock_key(schema: str) -> int:
    """Return the key of the advisory lock for a schema, a signed number of 64 bits."""
    digest = hashlib.sha256(f"galaxy.migrations:{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextlib.asynccontextmanager
async def locked(
    engine: AsyncEngine, schema: str, wait_timeout: timedelta, log: Log = silent
) -> AsyncIterator[AsyncConnection]:
    """Return a connection of its own with the schema first in its search path and the schema's lock held.

    Closed at the end, which frees the lock whatever happened. Raise MigrationError when another runner holds the lock
    for longer than `wait_timeout`.
    """
    async with engine.connect() as connection:
        try:
            await _prepare(connection, schema)
            await _acquire(connection, schema, wait_timeout, log)
            try:
                yield connection
            finally:
                await _release(connection, schema)
        finally:
            await connection.invalidate()  # closes it: neither its settings nor its lock may return to the pool


async def _release(connection: AsyncConnection, schema: str) -> None:
    """Free the lock at once; the end of the connection would free it a moment later."""
    with contextlib.suppress(DBAPIError):  # a broken connection holds no lock, and the first error is the one to raise
        await connection.rollback()
        await connection.execute(sa.select(sa.func.pg_advisory_unlock(_key(schema))))
        await connection.commit()


async def _prepare(connection: AsyncConnection, schema: str) -> None:
    path = sa.func.concat_ws(
        ", ", sa.func.quote_ident(schema), sa.func.nullif(sa.func.current_setting("search_path"), "")
    )
    settings = [sa.func.set_config(name, value, False) for name, value in _SETTINGS.items()]
    await connection.execute(sa.select(sa.func.set_config("search_path", path, False), *settings))
    await connection.commit()
    # A server in a long statement would not notice that its client was killed, and would go on holding the lock.
    with contextlib.suppress(DBAPIError):  # not every platform's server can look
        await connection.execute(
            sa.select(sa.func.set_config("client_connection_check_interval", _DISCONNECTED, False))
        )
    await connection.commit()


async def _acquire(connection: AsyncConnection, schema: str, wait_timeout: timedelta, log: Log) -> None:
    """Get the lock by polling: a session inside `pg_advisory_lock` would keep CREATE INDEX CONCURRENTLY waiting."""
    attempt = sa.select(sa.func.pg_try_advisory_lock(_key(schema)))
    deadline = asyncio.get_running_loop().time() + wait_timeout.total_seconds()
    waiting = False
    while True:
        taken = (await connection.execute(attempt)).scalar_one()
        await connection.commit()
        if taken:
            return
        if asyncio.get_running_loop().time() >= deadline:
            raise MigrationError(await _timed_out(connection, schema, wait_timeout))
        if not waiting:
            log(f"schema {schema!r}: waiting for another process that migrates it")
            waiting = True
        await asyncio.sleep(_POLL * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, keeps no secret


async def _timed_out(connection: AsyncConnection, schema: str, wait_timeout: timedelta) -> str:
    holder = (await connection.execute(_HOLDER.bindparams(_bind(schema)))).scalar_one()
    return (
        f"schema {schema!r}: another process has held the migration lock for {wait_timeout.total_seconds():g} s: "
        f"{holder or 'its session has just ended'}; wait for it, or end it with pg_terminate_backend, then run "
        "`backend migrate`"
    )


def _key(schema: str) -> sa.BindParameter[int]:
    return sa.literal(lock_key(schema), sa.BigInteger)


def _bind(schema: str) -> sa.BindParameter[int]:
    return sa.bindparam("key", lock_key(schema), sa.BigInteger)
