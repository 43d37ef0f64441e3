"""The SQLAlchemy dialect `postgresql+aiopg`, on a corrected aiopg connection.

aiopg's own pool is not used: it commits what a cancelled task has begun, reports a statement timeout as a cancellation
of the task, and never cancels on the server. An aiopg connection is in autocommit mode, so BEGIN and COMMIT are ours:
`BEGIN;` is sent in front of the first statement of a transaction and costs no round trip.

Limits, of psycopg2 in asynchronous mode: no COPY, no two-phase commit. psycopg2 writes the parameters into the
statement, so the server's log and `pg_stat_activity` show them, and the server plans each statement each time. What
`galaxy_kernel.database.prepared` marks is sent as PREPARE once for each connection, and as EXECUTE from then on.

A `bytea` travels as hexadecimal text, since psycopg2 has no binary format. At most the process holds about 8 times the
size of a large value while it is written, and 7 times while it is read, libpq's buffers included (measured with 16 MiB;
asyncpg: 3 and 2; psycopg: 1 and 5, for it reads text unless a whole result is requested in binary).
"""

import itertools
import re
from binascii import unhexlify
from collections import deque
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NoReturn
from uuid import UUID

import aiopg
import psycopg2
import psycopg2.extensions
import psycopg2.extras
from sqlalchemy.connectors.asyncio import (
    AsyncAdapt_dbapi_connection,
    AsyncAdapt_dbapi_cursor,
    AsyncAdapt_dbapi_module,
    AsyncAdapt_terminate,
)
from sqlalchemy.dialects.postgresql.base import PGExecutionContext
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.util import EMPTY_DICT
from sqlalchemy.util.concurrency import await_

from galaxy_chassis.uuids import uuid_of
from galaxy_kernel.database.aiopg.connection import Connection

BATCH = 100
"""Statements of an executemany that go to the server at once."""

CHUNK = 100
"""Rows that a stream fetches with its first round trip; later ones follow SQLAlchemy's `yield_per`."""

PIECE = 1 << 16
"""Characters of a `bytea` in hexadecimal that are read at once; even, so that no byte is cut in two."""

_IDLE = psycopg2.extensions.TRANSACTION_STATUS_IDLE
_INERROR = psycopg2.extensions.TRANSACTION_STATUS_INERROR


def _bytes(value: Any, cursor: Any) -> bytes | None:
    if value is not None and value.startswith("\\x"):  # `bytea_output = hex`, the default: nearly twice as quick
        return unhexlify(value[2:]) if len(value) <= PIECE else _bytes_by_pieces(value)
    view = psycopg2.BINARY(value, cursor)
    return None if view is None else bytes(view)


def _bytes_by_pieces(value: str) -> bytes:
    """Read a large value with no further copy of its text, which is twice as long: 3.1 times its size instead of 5."""
    pieces = BytesIO()
    for start in range(2, len(value), PIECE):
        pieces.write(unhexlify(value[start : start + PIECE]))
    return pieces.getvalue()  # its own buffer, not a copy


def _uuid(value: str | None, cursor: Any) -> UUID | None:  # noqa: ARG001 - psycopg2 calls it with both
    """Read a UUID without looking for the forms that the server never uses."""
    return None if value is None else uuid_of(int(value.replace("-", ""), 16))


_UUID = psycopg2.extensions.new_type((2950,), "UUID", _uuid)
_UUID_ARRAY = psycopg2.extensions.new_array_type((2951,), "UUID[]", _UUID)
_BYTEA = psycopg2.extensions.new_type((17,), "BYTEA", _bytes)
_BYTEA_ARRAY = psycopg2.extensions.new_array_type((1001,), "BYTEA[]", _BYTEA)


_PARAMETER = re.compile(r"%\((\w+)\)s")
_names = itertools.count(1)
_STALE = (psycopg2.errors.InvalidSqlStatementName, psycopg2.errors.FeatureNotSupported)
"""26000: the server has forgotten the statement. 0A000: the type of a result has changed; others are not told apart.
The transaction fails as any does, and the next one prepares the statement again."""


class TransactionAbortedError(psycopg2.errors.InFailedSqlTransaction):  # type: ignore[misc] # psycopg2 is untyped
    """A statement or a COMMIT after one that failed; PostgreSQL itself would answer such a COMMIT with a ROLLBACK."""

    pgcode = "25P02"


class AsyncAdaptAiopgCursor(AsyncAdapt_dbapi_cursor):
    """A psycopg2 cursor as SQLAlchemy's synchronous side sees it: all rows are fetched once it has executed."""

    __slots__ = ()

    _awaitable_cursor_close = False
    _adapt_connection: "AsyncAdaptAiopgConnection"

    def __init__(self, adapt_connection: "AsyncAdaptAiopgConnection") -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._cursor = adapt_connection._connection.raw.cursor()
        self._soft_closed_memoized = EMPTY_DICT
        self._rows = deque()

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        cursor: Any = self._cursor
        async with self._adapt_connection._execute_mutex:
            await self._adapt_connection.run(cursor, operation, parameters)
        if cursor.description:
            self._rows = deque(cursor.fetchall())

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        """Send statements with their parameters written in, in batches: psycopg2 has no executemany here."""
        cursor: Any = self._cursor
        statements = [cursor.mogrify(operation, parameters).decode() for parameters in seq_of_parameters]
        async with self._adapt_connection._execute_mutex:
            for start in range(0, len(statements), BATCH):
                await self._adapt_connection.run(cursor, "\n;".join(statements[start : start + BATCH]), None)


class AsyncAdaptAiopgServerCursor(AsyncAdaptAiopgCursor):
    """The source of `stream()`: DECLARE and FETCH, since psycopg2's own server-side cursors do not work here.

    It needs a transaction, and ends with it.
    """

    __slots__ = ("_exhausted", "_name")

    server_side = True
    _numbers = itertools.count(1)

    def __init__(self, adapt_connection: "AsyncAdaptAiopgConnection") -> None:
        super().__init__(adapt_connection)
        self._name = f"galaxy_{next(self._numbers)}"
        self._exhausted = True

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        await self._fetch(CHUNK, f"DECLARE {self._name} NO SCROLL CURSOR FOR {operation}\n;", parameters)

    async def _fetch(self, count: int, before: str = "", parameters: Any = None) -> None:
        cursor: Any = self._cursor
        async with self._adapt_connection._execute_mutex:
            await self._adapt_connection.run(cursor, f"{before}FETCH FORWARD {count} FROM {self._name}", parameters)
        found = cursor.fetchall()
        self._exhausted = len(found) < count
        self._rows.extend(found)

    def _fill(self, count: int) -> None:
        if len(self._rows) < count and not self._exhausted:
            try:
                await_(self._fetch(count - len(self._rows)))
            except Exception as error:
                self._adapt_connection._handle_exception(error)

    def fetchone(self) -> Any:
        self._fill(1)
        return super().fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        self._fill(size or self.arraysize)
        return super().fetchmany(size)

    def fetchall(self) -> Any:
        while not self._exhausted:
            self._fill(len(self._rows) + CHUNK)
        return super().fetchall()


class AsyncAdaptAiopgConnection(AsyncAdapt_terminate, AsyncAdapt_dbapi_connection):
    """Transactions over a connection in autocommit mode. libpq knows from the server whether one is open."""

    __slots__ = ("_aborted", "autocommit", "deferrable", "level", "prepared", "readonly")

    _cursor_cls = AsyncAdaptAiopgCursor  # type: ignore[assignment] # it is: the base wants its own name
    _ss_cursor_cls = AsyncAdaptAiopgServerCursor  # type: ignore[assignment] # likewise
    _connection: Any

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._aborted = False  # the first statement failed before the BEGIN in front of it took effect
        self.autocommit = self.readonly = self.deferrable = False
        self.level: str | None = None
        self.prepared: dict[str, str] = {}
        """The EXECUTE of each statement that the server has prepared on this connection."""

    @property
    def closed(self) -> bool:
        """Whether the connection is no longer usable."""
        return bool(self._connection.closed)

    async def run(self, cursor: Any, statement: str, parameters: Any) -> None:
        """Execute, in a transaction unless in autocommit mode."""
        if self._aborted:
            raise TransactionAbortedError("current transaction is aborted, commands ignored until its end")
        raw = self._connection.raw
        if not self.autocommit and raw.get_transaction_status() == _IDLE:
            statement = self._begin_statement() + statement
        try:
            await self._connection.run(cursor, statement, parameters)
        except psycopg2.Error as exc:
            # a statement that does not parse takes its BEGIN with it; without a code it was never sent
            self._aborted = (
                not self.autocommit
                and exc.pgcode is not None
                and not raw.closed
                and raw.get_transaction_status() == _IDLE
            )
            raise

    async def execute_prepared(self, statement: str, parameters: Any) -> tuple[list[Any], Sequence[Any]]:
        """Execute a statement that the server prepares the first time; return its rows and their description."""
        cursor = self._connection.raw.cursor()
        prepare, execute = "", self.prepared.get(statement)
        if execute is None:
            prepare, execute = _preparation(statement)
        async with self._execute_mutex:
            try:
                await self.run(cursor, prepare + execute, parameters)
            except _STALE:
                self.prepared.pop(statement, None)
                raise
        self.prepared[statement] = execute
        return (cursor.fetchall(), cursor.description) if cursor.description else ([], ())

    def commit(self) -> None:
        """Commit; after a failed statement roll back and raise TransactionAbortedError: the server would not say so."""
        status = self._connection.raw.get_transaction_status()
        if self._aborted or status == _INERROR:
            self.rollback()  # SQLAlchemy treats a failed COMMIT as the end of the transaction
            raise TransactionAbortedError("a statement of this transaction failed: it cannot be committed")
        if status != _IDLE:
            self._finish("COMMIT")

    def rollback(self) -> None:
        """Roll back the server's transaction."""
        self._aborted = False
        if self._connection.raw.get_transaction_status() != _IDLE:
            self._finish("ROLLBACK")

    def close(self) -> None:
        """Close; the server rolls back."""
        self._connection._close()

    def ping(self) -> None:
        """Raise psycopg2.OperationalError when the server is gone."""
        if self._connection.look():
            await_(self._connection.ask())

    def _begin_statement(self) -> str:
        level = f" ISOLATION LEVEL {self.level}" if self.level else ""
        return f"BEGIN{level}{' READ ONLY' if self.readonly else ''}{' DEFERRABLE' if self.deferrable else ''};"

    def _finish(self, statement: str) -> None:
        await_(self._connection.run(self._connection.raw.cursor(), statement))

    async def _terminate_graceful_close(self) -> None:
        await self._connection.give_up()

    def _terminate_force_close(self) -> None:
        self._connection._close()


class AsyncAdaptAiopgDbapi(AsyncAdapt_dbapi_module):
    """The DBAPI module for SQLAlchemy: psycopg2's names, our connections."""

    paramstyle = "pyformat"

    def __init__(self) -> None:
        super().__init__(aiopg, dbapi_module=psycopg2)

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg2, name)

    def connect(self, **parameters: Any) -> AsyncAdaptAiopgConnection:
        """Connect, by `async_creator_fn` when one is given."""
        opener: Callable[..., Any] = parameters.pop("async_creator_fn", Connection.open)
        return await_(AsyncAdaptAiopgConnection.create(self, opener(**parameters)))


class ExecutionContextAiopg(PGExecutionContext):
    """How a statement gets its cursor."""

    def create_server_side_cursor(self) -> Any:
        return self._dbapi_connection.cursor(server_side=True)


class PGDialect_aiopg(PGDialect_psycopg2):  # noqa: N801 # SQLAlchemy's own way of naming dialects
    """PostgreSQL through aiopg: the psycopg2 dialect, awaited."""

    driver = "aiopg"
    is_async = True
    has_terminate = True
    supports_statement_cache = True
    returns_native_bytes = True
    execution_ctx_cls = ExecutionContextAiopg  # type: ignore[assignment] # the base's one only logs notices

    def __init__(self, **options: Any) -> None:
        options.setdefault("use_native_hstore", False)  # it would take a query at each connecting
        super().__init__(**options)  # type: ignore[no-untyped-call] # SQLAlchemy left this dialect untyped
        self.direct: dict[Any, Any] = {}
        """How each prepared statement is sent: see `galaxy_kernel.database.direct`."""

    @classmethod
    def import_dbapi(cls) -> Any:
        return AsyncAdaptAiopgDbapi()

    def on_connect(self) -> Callable[[Any], None]:
        def register(connection: Any) -> None:
            raw = connection._connection.raw
            psycopg2.extras.register_uuid(None, raw)
            for each in (_UUID, _UUID_ARRAY, _BYTEA, _BYTEA_ARRAY):
                psycopg2.extensions.register_type(each, raw)
            if self._json_deserializer is not None:
                psycopg2.extras.register_default_json(raw, loads=self._json_deserializer)
                psycopg2.extras.register_default_jsonb(raw, loads=self._json_deserializer)

        return register

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        dbapi_connection.rollback()  # asking for the level before may have begun a transaction, as Alembic's blocks do
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        dbapi_connection.level = None if level in {"AUTOCOMMIT", "READ COMMITTED"} else level

    def do_ping(self, dbapi_connection: Any) -> bool:
        dbapi_connection.ping()
        return True

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.terminate()

    def get_driver_connection(self, connection: Any) -> Any:
        return connection._connection

    def _twophase_unsupported(self, *_: Any, **__: Any) -> NoReturn:
        raise psycopg2.NotSupportedError("aiopg has no two-phase commit")

    do_begin_twophase = do_prepare_twophase = do_rollback_twophase = do_commit_twophase = _twophase_unsupported
    do_recover_twophase = _twophase_unsupported


def _preparation(statement: str) -> tuple[str, str]:
    """Return the PREPARE and the EXECUTE for a statement.

    The name is fresh, for one that was prepared and then failed exists on the server.
    """
    name, places = f"galaxy_p{next(_names)}", dict[str, int]()
    numbered = _PARAMETER.sub(lambda found: f"${places.setdefault(found[1], len(places) + 1)}", statement)
    given = ", ".join(f"%({place})s" for place in places)
    return f"PREPARE {name} AS {numbered}\n;", f"EXECUTE {name}{f' ({given})' if places else ''}"
