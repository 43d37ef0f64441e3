"""The aiopg connection, corrected: waiting on it can be cancelled, and its server may die."""

import asyncio
import ipaddress
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import aiopg
import psycopg2
import psycopg2.extensions

CANCEL_PATIENCE = 2.0
"""Seconds to reach the server with the request to cancel a statement; then the connection is closed without it."""
PING_AFTER = 1.0
"""Seconds of idleness after which a ping asks the server. Sooner, an open local socket is enough."""

_LAST_READS = 10_000
"""Reads that are enough to empty a dead socket; a receive buffer is some megabytes (tcp(7))."""
_OK, _READ = psycopg2.extensions.POLL_OK, psycopg2.extensions.POLL_READ
_WRITE = psycopg2.extensions.POLL_WRITE
_CONNECTION_OK = 0
"""libpq's ConnStatusType."""


class Connection(aiopg.Connection):
    """An aiopg connection whose waiting can be cancelled and whose server may die.

    The event loop watches a duplicate of libpq's socket: libpq closes its own when the server goes away and opens
    others while it connects, and an event loop must not be left with a descriptor that was closed behind its back.
    """

    def __init__(self, **parameters: Any) -> None:
        """Begin to connect; use `open`."""
        super().__init__(None, timeout=0.0, enable_hstore=False, **parameters)
        if self._fileno is not None:
            self._loop.remove_reader(self._fileno)
            self._fileno = None
        self._waiter = None
        self._hang_ups = select.poll()
        self.on_notify: Callable[[str], None] | None = None
        """Called with the payload of each notification; must not raise."""
        self.ended = asyncio.Event()
        """Set once the connection is closed, by whichever side."""

    @classmethod
    async def open(cls, **parameters: Any) -> Self:
        """Connect with libpq's parameters, trying every address of the host; raise psycopg2.OperationalError."""
        failure: BaseException | None = None
        for address in await _addresses(parameters.get("host"), parameters.get("port")):
            try:
                connection = cls(**parameters, **address)
                await connection._establish()
            except psycopg2.OperationalError as exc:
                failure = exc
            except (OSError, RuntimeError) as exc:  # RuntimeError: uvloop's error for a refused socket
                failure = psycopg2.OperationalError(f"connecting failed: {exc}")
                failure.__cause__ = exc
            else:
                return connection
        raise failure or psycopg2.OperationalError("the host has no address")

    async def run(self, cursor: Any, statement: str, parameters: Any = None) -> None:
        """Execute on a cursor of `raw`. When cancelled, the connection is still executing and must be closed."""
        if self._waiter is not None:
            raise psycopg2.ProgrammingError("another task is using this connection: use one for each task")
        self._last_usage = self._loop.time()
        waiter = self._waiter = self._loop.create_future()
        try:
            cursor.execute(statement, parameters)
            self._advance()
            await waiter
        finally:
            self._waiter = None

    async def ping(self) -> None:
        """Raise psycopg2.OperationalError when the server is gone."""
        if self.look():
            await self.ask()

    def look(self) -> bool:
        """Return whether to `ask`, for it has rested. Raise psycopg2.OperationalError when its end has arrived."""
        self._advance()  # reads what has arrived, which reveals the end of the connection
        if self.closed:
            raise psycopg2.OperationalError("the server closed the connection")
        rested: float = self._loop.time() - self._last_usage
        return rested > PING_AFTER

    async def ask(self) -> None:
        """Raise psycopg2.OperationalError when the server does not answer."""
        await self.run(self._conn.cursor(), "SELECT 1")

    async def give_up(self) -> None:
        """Cancel on the server what is executing, then close; the server rolls back."""
        try:
            if not self.closed and self.isexecuting():
                async with asyncio.timeout(CANCEL_PATIENCE):
                    await asyncio.to_thread(self._conn.cancel)
        except (psycopg2.Error, TimeoutError):
            pass  # the server is gone, or will notice the closed connection
        finally:
            self._close()

    async def _establish(self) -> None:
        try:
            while (state := self._poll_raw()) != _OK:
                await self._until(state)
            self._fileno = os.dup(self._conn.fileno())
            self._hang_ups.register(self._fileno, 0)
            self._loop.add_reader(self._fileno, self._ready, self._weakref)
        except BaseException:
            self._close()
            raise

    def _poll_raw(self) -> int:
        """Let libpq continue; return what it waits for."""
        state: int = self._conn.poll()
        if state == psycopg2.extensions.POLL_ERROR:
            self._conn.close()
            raise psycopg2.OperationalError("the connection is broken")
        return state

    async def _until(self, state: int) -> None:
        """Wait for the socket of this moment: while connecting, libpq may have another one the next time."""
        add, remove = (
            (self._loop.add_reader, self._loop.remove_reader)
            if state == _READ
            else (self._loop.add_writer, self._loop.remove_writer)
        )
        ready = self._loop.create_future()
        descriptor = os.dup(self._conn.fileno())
        try:
            add(descriptor, _settle, ready)
            await ready
        finally:
            remove(descriptor)
            os.close(descriptor)

    @staticmethod
    def _ready(weak_self: Any) -> None:
        self = weak_self()
        if self is None:
            return
        self._advance()
        # uvloop reports an error of the socket only once; data before it hides it from libpq
        for _ in range(_LAST_READS):
            if self._fileno is None or not self._hang_ups.poll(0):
                return
            self._advance()
        self._close(psycopg2.OperationalError("the server ended the connection"))

    def _advance(self) -> None:
        """Let libpq read and write what it can, and resolve the waiting future."""
        waiter = self._waiter
        try:
            state = self._poll_raw()
        except psycopg2.Error as exc:
            if waiter is not None and not waiter.done():
                waiter.set_exception(exc)
            if self._conn.closed or self._conn.info.status != _CONNECTION_OK:
                self._close(exc)
            else:
                self._write(False)
            return
        while self._conn.notifies:
            notification = self._conn.notifies.pop(0)
            if self.on_notify is not None:
                self.on_notify(notification.payload)
        self._write(state == _WRITE)
        if state == _OK and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _write(self, wanted: bool) -> None:
        """Watch whether the socket can be written, or stop watching."""
        if wanted == self._writing or self._fileno is None:
            return
        self._writing = wanted
        if wanted:
            self._loop.add_writer(self._fileno, self._ready, self._weakref)
        else:
            self._loop.remove_writer(self._fileno)

    def _close(self, reason: Exception | None = None) -> None:
        descriptor, self._fileno = self._fileno, None
        alive = not self._loop.is_closed()
        if descriptor is not None:
            if alive:
                self._loop.remove_reader(descriptor)
                if self._writing:
                    self._loop.remove_writer(descriptor)
            os.close(descriptor)
        self._writing = False
        self._conn.close()
        if alive:
            self.ended.set()
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(reason or psycopg2.OperationalError("the connection was closed"))

    def __del__(self) -> None:
        raw = self.__dict__.get("_conn")
        if raw is not None and not raw.closed and "ended" in self.__dict__:
            self._close()  # quietly: the pool reports it


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _addresses(host: str | None, port: Any) -> Sequence[Mapping[str, str]]:
    """Resolve a name off the event loop's thread: libpq would do it on it, and wait."""
    if not host or host.startswith("/") or "," in host:
        return [{}]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [{}]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, int(port or 0), type=socket.SOCK_STREAM)
    except OSError as exc:
        raise psycopg2.OperationalError(f'could not translate host name "{host}" to address: {exc.strerror}') from exc
    return [{"hostaddr": address} for address in dict.fromkeys(str(entry[4][0]) for entry in found)]
