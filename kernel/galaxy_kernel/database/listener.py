"""LISTEN and NOTIFY: wake-ups without data. A notification is lost on listeners that are not connected."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from random import SystemRandom
from typing import Any, Protocol

import structlog
from sqlalchemy import text

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_kernel.database.drivers import Opener
from galaxy_kernel.database.engine import opener_of
from galaxy_kernel.database.transactions import Connection, Database

PROBE_INTERVAL = 5.0
"""Seconds between checks that the server still answers."""
BACKOFF = Backoff(0.05, 2.0)
"""Back-off between attempts to connect."""
MAX_PAYLOAD = 7999
"""Bytes of UTF-8 (PostgreSQL's manual, NOTIFY)."""

_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
_random = SystemRandom()
_log = structlog.get_logger()


class Listener:
    """Listens to a channel on a connection of its own, outside the pool, and reconnects whenever it is lost."""

    def __init__(
        self,
        database: Database,
        channel: str,
        on_notify: Callable[[str], None],
        on_connect: Callable[[], None],
        on_disconnect: Callable[[BaseException | None], None] | None = None,
        *,
        probe_interval: float = PROBE_INTERVAL,
    ) -> None:
        """Configure the listener; `run` listens. The database's engine must come from `make_engine`.

        `on_notify` is called with each payload; `on_connect` after each LISTEN, the first included: notifications
        before it are lost, so reload. `on_disconnect` is called with the error that ended a connection, None when `run`
        is cancelled. They are called on the event loop and must not block; one that raises is logged. Times in seconds.
        """
        self._link = _LINKS[database.engine.dialect.driver]
        self._open = opener_of(database.engine)
        self._channel = channel
        self._on_notify, self._on_connect, self._on_disconnect = on_notify, on_connect, on_disconnect
        self._probe_interval = probe_interval
        self.connected = False
        """Whether it is listening, as far as known: a dead peer shows after two probe intervals."""

    async def run(self) -> None:
        """Listen until cancelled. No fault of the server ends it."""
        failures = 0
        while True:
            try:
                with own_cancellation_only():  # a stray one would end the listener, and nobody would notice
                    await self._listen()
            except Exception as exc:
                failures = 1 if self._lost(exc) else failures + 1
                # once for each loss: later failures are the same, until it is back
                log = _log.warning if failures == 1 else _log.debug
                log("listener_disconnected", channel=self._channel, error=f"{type(exc).__name__}: {exc}")
            except BaseException:
                self._lost(None)
                raise
            await asyncio.sleep(BACKOFF.delay(failures, _random))

    async def _listen(self) -> None:
        async with self._link(self._open, self._channel, self._deliver) as link:
            self.connected = True
            self._call(self._on_connect)
            while True:
                await link.hear(self._probe_interval)
                async with asyncio.timeout(self._probe_interval):
                    await link.probe()

    def _lost(self, error: BaseException | None) -> bool:
        was, self.connected = self.connected, False
        if was and self._on_disconnect is not None:
            self._call(self._on_disconnect, error)
        return was

    def _deliver(self, payload: str) -> None:
        self._call(self._on_notify, payload)

    def _call(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            callback(*args)
        except Exception:
            _log.exception("listener_callback_failed", channel=self._channel)


async def notify(connection: Connection, channel: str, payload: str = "") -> None:
    """Send a notification at commit. Raise ValueError for a payload over 7,999 bytes.

    Commits that notify are serialised across the whole server: for frequent wake-ups send few, from a
    connection of `Database.reading()`.
    """
    if len(payload.encode()) > MAX_PAYLOAD:
        raise ValueError(f"a notification holds at most {MAX_PAYLOAD} bytes: send a wake-up, and have the data read")
    await connection.execute(_NOTIFY, {"channel": channel, "payload": payload})


class _Link(Protocol):
    """One connection that listens."""

    async def hear(self, seconds: float) -> None:
        """Deliver what comes within the time; raise when the connection is lost."""

    async def probe(self) -> None:
        """Check that the server answers."""


def _quoted(channel: str) -> str:
    return '"' + channel.replace('"', '""') + '"'


class _EventLink:
    """aiopg and asyncpg: they call back for each notification, and when the connection has ended."""

    def __init__(self, ended: asyncio.Event, ask: Callable[[], Awaitable[object]]) -> None:
        self._ended, self._ask = ended, ask

    async def hear(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        if self._ended.is_set():
            raise ConnectionResetError("the server closed the connection")

    async def probe(self) -> None:
        await self._ask()


@contextlib.asynccontextmanager
async def _aiopg(connect: Opener, channel: str, deliver: Callable[[str], None]) -> AsyncIterator[_Link]:
    connection = await connect()
    try:
        connection.on_notify = deliver
        await connection.run(connection.raw.cursor(), f"LISTEN {_quoted(channel)}")
        yield _EventLink(connection.ended, lambda: connection.run(connection.raw.cursor(), "SELECT 1"))
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def _asyncpg(connect: Opener, channel: str, deliver: Callable[[str], None]) -> AsyncIterator[_Link]:
    connection = await connect()
    try:
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(channel, lambda _connection, _pid, _channel, payload: deliver(payload))
        yield _EventLink(ended, lambda: connection.execute("SELECT 1"))
    finally:
        connection.terminate()


class _PsycopgLink:
    def __init__(self, connection: Any, deliver: Callable[[str], None]) -> None:
        self._connection, self._deliver = connection, deliver

    async def hear(self, seconds: float) -> None:
        async for notification in self._connection.notifies(timeout=seconds):
            self._deliver(notification.payload)

    async def probe(self) -> None:
        asking = asyncio.ensure_future(self._connection.execute("SELECT 1"))
        try:
            await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.cancel()
            loop, descriptor = asyncio.get_running_loop(), self._connection.fileno()
            loop.remove_reader(descriptor)  # uvloop ends the process when a socket is closed that it watches
            loop.remove_writer(descriptor)
            self._connection.pgconn.finish()  # or psycopg would wait ten seconds for a dead server
            await asyncio.wait([asking])
            raise


@contextlib.asynccontextmanager
async def _psycopg(connect: Opener, channel: str, deliver: Callable[[str], None]) -> AsyncIterator[_Link]:
    connection = await connect(autocommit=True)
    try:
        await connection.execute(f"LISTEN {_quoted(channel)}")
        yield _PsycopgLink(connection, deliver)
    finally:
        await connection.close()


_LINKS: dict[str, Callable[..., contextlib.AbstractAsyncContextManager[_Link]]] = {
    "aiopg": _aiopg,
    "asyncpg": _asyncpg,
    "psycopg": _psycopg,
}
