"""Advisory locks of Postgres: by names, which belong to the backend's schema, so that two backends never meet.

Migrations take a lock of their own (`galaxy_migrations.session`): they run before there is a schema to name it by, and
their key must never change, since runners of two releases exclude each other by it.
"""

from dataclasses import dataclass

from sqlalchemy import ARRAY, Text, TextClause, bindparam, text
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.ext.asyncio import AsyncConnection

from galaxy_chassis.errors import GalaxyError
from galaxy_kernel.database.transactions import Connection, Database, require_transaction

_KEY = "hashtextextended('galaxy/' || coalesce(current_schema(), '') || '/' || name, 0)"
"""The number of the lock `name`. Should two names ever have one number, they wait for each other and no more."""
_IN_ORDER = """
    SELECT {function}(key)
    FROM (SELECT DISTINCT {key} AS key FROM unnest(:names) AS name ORDER BY key) AS keys
"""
_TRY = "SELECT pg_try_advisory_lock({key}) FROM (SELECT CAST(:name AS text)) AS given (name)"


def _in_order(function: str) -> TextClause:
    names = bindparam("names", type_=ARRAY(Text))
    return text(_IN_ORDER.format(function=function, key=_KEY)).bindparams(names)


_EXCLUSIVE, _SHARED = _in_order("pg_advisory_xact_lock"), _in_order("pg_advisory_xact_lock_shared")
_TRY_LOCK = text(_TRY.format(key=_KEY))


async def advisory_lock(connection: Connection, *names: str, shared: bool = False) -> None:
    """Hold locks until the connection's transaction ends; wait for whoever holds one of them.

    A name is `<plugin>/<what>`. The locks of one call are taken in one order everywhere, so that calls do not deadlock:
    take all that a transaction needs at once. `shared` ones exclude only those that are not. What they protect must be
    read by a later statement: the snapshot of this one is older than the locks.
    """
    require_transaction(connection, "advisory_lock")  # without one the locks would end with the statement
    await connection.execute(_SHARED if shared else _EXCLUSIVE, {"names": list(names)})


def shared_lock_sql(parameter: str) -> str:
    """Return a query that takes the lock of a name, shared, as `advisory_lock` does: for a statement's own CTE.

    `parameter` is the bind parameter with the name. The statement must be in a transaction.
    """
    return f"SELECT pg_advisory_xact_lock_shared({_KEY}) FROM (SELECT CAST(:{parameter} AS text)) AS given (name)"  # noqa: S608 - ours


_BEGIN_TERM = text("""
    INSERT INTO singleton_terms AS newest (name, term) VALUES (:name, 1)
    ON CONFLICT (name) DO UPDATE SET term = newest.term + 1, begun_at = now()
    RETURNING term
""").bindparams(bindparam("name", type_=Text))
_NEWEST_TERM = text("SELECT term FROM singleton_terms WHERE name = :name FOR SHARE").bindparams(
    bindparam("name", type_=Text)
)


class SupersededError(GalaxyError):
    """Another replica has taken over a singleton: the writes of the former holder must not be committed."""


@dataclass(frozen=True, slots=True)
class Term:
    """The period in which a replica holds a singleton; its number is greater than that of every former holder."""

    name: str
    number: int

    async def check(self, connection: Connection) -> None:
        """Let the connection's transaction commit only within this term. Raise SupersededError when it is over.

        It locks the term's row, so that no other replica begins a term until the transaction has ended.
        """
        require_transaction(connection, "Term.check")
        newest = (await connection.execute(_NEWEST_TERM, {"name": self.name})).scalar_one_or_none()
        if newest != self.number:
            raise SupersededError(f"term {self.number} of {self.name!r} is over: another replica has term {newest}")


class Lock:
    """A lock in Postgres that one replica holds on a connection of its own, for a singleton worker.

    A session-level advisory lock: it ends with its connection, so a killed replica frees it at once. A pass begins only
    while the lock is known to be held; a connection lost in the middle of a pass lets another replica begin, so a
    singleton's writes must be safe against that: idempotent, or fenced by `term`.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._connection: AsyncConnection | None = None
        self._term: Term | None = None

    async def term(self) -> Term:
        """Return the term of the lock, which must be held: the first call since it was acquired begins a new one."""
        if self._connection is None:
            raise RuntimeError(f"the lock of {self._name!r} is not held: it has no term")
        if self._term is None:
            row = await self._connection.execute(_BEGIN_TERM, {"name": self._name})
            self._term = Term(self._name, row.scalar_one())
        return self._term

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
        if (await self._connection.execute(_TRY_LOCK, {"name": f"worker/{self._name}"})).scalar_one():
            await self._connection.run_sync(_detach)  # otherwise each singleton would use up one of the pool
            return True
        await self._connection.close()
        self._connection = None
        return False

    async def release(self) -> None:
        """Release the lock by ending its connection."""
        connection, self._connection, self._term = self._connection, None, None
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
