"""Advisory locks of Postgres."""

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from galaxy_kernel.database.transactions import Database


class Lock:
    """A lock in Postgres that one replica holds on a connection of its own, for a singleton worker.

    A session-level advisory lock: it ends with its connection, so a killed replica frees it at once. A pass
    begins only while the lock is known to be held; a connection lost in the middle of a pass lets another
    replica begin, so a singleton's writes must be safe against that (fenced, or idempotent).
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._connection: AsyncConnection | None = None

    async def held(self) -> bool:
        """Acquire the lock if it is free, and return whether this replica holds it now."""
        try:
            if self._connection is not None:
                await self._connection.execute(text("SELECT 1"))
                return True
            return await self._take()
        except BaseException:
            await self.release()
            raise

    async def _take(self) -> bool:
        connection = await self._database.engine.connect()
        self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        key = f"galaxy/worker/{self._database.schema}/{self._name}"
        query = text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
        if (await self._connection.execute(query, {"key": key})).scalar_one():
            await self._connection.run_sync(_detach)  # otherwise each singleton would use up one of the pool
            return True
        await self._connection.close()
        self._connection = None
        return False

    async def release(self) -> None:
        """Release the lock by ending its connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if not connection.invalidated:
                await connection.run_sync(_end)
            await connection.close()


def _detach(held: SyncConnection) -> None:
    """Detach a connection from its pool, which may open another one in its place."""
    if not held.connection.is_detached:
        held.connection.detach()


def _end(held: SyncConnection) -> None:
    """End a connection, lock and all; SQLAlchemy itself leaves a detached one of psycopg open."""
    _detach(held)
    if (connection := held.connection.dbapi_connection) is not None:
        held.dialect.do_terminate(connection)
    held.invalidate()
