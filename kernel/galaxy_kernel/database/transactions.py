"""Transactions, and actions in the process right after a commit."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, NoReturn, Self

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction
from sqlalchemy.util import greenlet_spawn

from galaxy_kernel.database.direct import DirectConnection
from galaxy_kernel.database.writes import WriteOutcomes

Connection = AsyncConnection

COMMIT_PATIENCE = 5.0
"""Seconds a cancelled task still waits for the outcome of its COMMIT."""

_log = structlog.get_logger()


class Database:
    """Access to the database: transactions, and reads that need none."""

    def __init__(self, engine: AsyncEngine, schema: str) -> None:
        """Use the engine's pool; `schema` is where the backend's tables live. No I/O."""
        self.engine = engine
        self.schema = schema
        self.writes = WriteOutcomes()
        """Whether the server takes writes, as this process's transactions have seen it."""
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction: committed at the end of the block, rolled back on any exception, cancellation included.

        After the commit, and with no other task in between, what `after_commit` registered runs. A task cancelled while
        it waits for the COMMIT waits for its outcome first (5 s at most), so that memory follows the database; then the
        cancellation continues. When the connection dies during the COMMIT, its outcome is unknown: the error is raised
        and nothing runs. A transaction in which a statement failed outside a savepoint does not commit: it raises
        sqlstate 25P02, even when the first error was caught.
        """
        return _Transaction(self.engine, self.writes)

    def reading(self) -> AbstractAsyncContextManager[Connection]:
        """Open a connection for reads of one statement each: without BEGIN and COMMIT, each sees its own snapshot."""
        return DirectConnection(self._reading)

    async def ping(self) -> None:
        """Check that the server answers. Raise the driver's error, for which `is_unavailable` is true."""
        async with self.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Close idle connections, and those in use once they are returned."""
        await self.engine.dispose()


def after_commit(connection: Connection, action: Callable[[], None]) -> None:
    """Register `action` to run right after the COMMIT of this connection's transaction; never after a rollback.

    Actions run in order, before any other task. One that raises is logged and stops neither the others nor the caller.
    What was registered since a savepoint is dropped when the savepoint is rolled back, if it was made by
    `connection.begin_nested()`; those made by SQL or on the synchronous connection of `run_sync` are not noticed.
    Raises RuntimeError when the connection is not inside `Database.transaction()`.
    """
    _transaction(connection, "after_commit").actions.append(action)


def require_transaction(connection: Connection, function: str) -> None:
    """Raise RuntimeError, naming the function, when a connection is not inside `Database.transaction()`."""
    _transaction(connection, function)


def _transaction(connection: Connection, function: str) -> "_Transaction":
    if not isinstance(connection, _Transaction) or connection.closed:
        raise RuntimeError(
            f"{function} needs a transaction: pass the connection of an open `async with database.transaction()`"
        )
    return connection


class _Transaction(DirectConnection):
    """A connection that commits at the end of its block. It lives for one block, so the pool never sees its state."""

    __slots__ = ("_writes", "actions")

    def __init__(self, engine: AsyncEngine, writes: WriteOutcomes) -> None:
        super().__init__(engine)
        self._writes = writes
        self.actions: list[Callable[[], None]] = []

    @property
    def closed(self) -> bool:
        return self.sync_connection is None or self.sync_connection.closed

    def begin(self) -> NoReturn:
        raise RuntimeError("Database.transaction() has begun already: use begin_nested() for a savepoint inside it")

    def begin_nested(self) -> AsyncTransaction:
        return _Savepoint(self)

    async def commit(self) -> None:
        await super().commit()
        self._act()

    def _act(self) -> None:
        """Run what `after_commit` registered."""
        actions, self.actions = self.actions, []
        for action in actions:
            try:
                action()
            except Exception:
                _log.exception("after_commit_failed", action=getattr(action, "__qualname__", repr(action)))

    async def rollback(self) -> None:
        self.actions.clear()
        await super().rollback()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                await self._commit()
            elif error is not None:
                self._writes.failed(error)
        finally:
            self.actions.clear()
            if not self.closed:
                await super().__aexit__(kind, error, trace)

    async def _commit(self) -> None:
        """Commit, and note the outcome; a transaction that wrote nothing proves nothing about writing."""
        try:
            wrote = self._writes.in_doubt and await self._has_written()
            await _to_its_end(greenlet_spawn(self._finish))
        except BaseException as error:
            self._writes.failed(error)
            raise
        if wrote:
            self._writes.succeeded()

    def _finish(self) -> None:
        """Commit, act, and return the connection: in one task and one greenlet, which are a tenth of a transaction."""
        connection = self._proxied
        connection.commit()
        self._act()
        connection.close()

    async def _has_written(self) -> bool:
        found = await self.exec_driver_sql("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        return bool(found.scalar_one())


class _Savepoint(AsyncTransaction):
    """A savepoint that drops, when it is rolled back, the actions registered since it began."""

    __slots__ = ("_mark", "_owner")

    def __init__(self, owner: _Transaction) -> None:
        super().__init__(owner, nested=True)
        self._owner = owner
        self._mark = 0

    async def start(self, is_ctxmanager: bool = False) -> Self:
        self._mark = len(self._owner.actions)
        await super().start(is_ctxmanager)
        return self

    async def rollback(self) -> None:
        self._forget()
        await super().rollback()

    async def close(self) -> None:
        if self.is_active:
            self._forget()
        await super().close()

    async def commit(self) -> None:
        try:
            await super().commit()
        except BaseException:
            self._forget()
            raise

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._forget()
        try:
            await super().__aexit__(kind, error, trace)
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        del self._owner.actions[self._mark :]


async def _to_its_end(commit: Coroutine[Any, Any, None]) -> None:
    """Wait for the commit. A cancellation waits for its outcome first; a second one, or the time limit, does not."""
    task = asyncio.ensure_future(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        patience: float | None = COMMIT_PATIENCE
        while not task.done():
            with suppress(asyncio.CancelledError):  # it is re-raised below, once the connection is idle
                await asyncio.wait([task], timeout=patience)
            if not task.done():
                task.cancel()
                patience = None
        if not task.cancelled() and (error := task.exception()) is not None:
            raise cancelled from error
        raise
