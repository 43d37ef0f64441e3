"""Listening to a channel, also across the loss of its connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.database import Database, Listener, make_engine, notify

END_OTHERS = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"""


class Log:
    """The calls of the callbacks, in order."""

    def __init__(self, database: Database, channel: str = "news", **options: Any) -> None:
        self.said: list[Any] = []
        self._changed = asyncio.Event()
        self.listener = Listener(
            database,
            channel,
            self._say,
            lambda: self._say(True),
            lambda error: self._say(None if error is None else Exception),
            **options,
        )

    def connected(self) -> bool:
        return self.listener.connected

    def _say(self, what: Any) -> None:
        self.said.append(what)
        self._changed.set()

    async def until(self, *said: Any, seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while self.said != list(said):
                self._changed.clear()
                await self._changed.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.listener.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()


async def send(database: Database, *payloads: str, channel: str = "news") -> None:
    async with database.transaction() as connection:
        for payload in payloads:
            await notify(connection, channel, payload)


async def test_it_hears(database: Database) -> None:
    """It reports when it listens, and then each payload in order, including those sent while it probes."""
    log = Log(database, probe_interval=0.25)
    async with log.running():
        await log.until(True)
        assert log.connected()
        await send(database, "a", "", "ü")
        await log.until(True, "a", "", "ü")
        for number in range(30):
            await send(database, str(number))
            await asyncio.sleep(0.02)
        await log.until(True, "a", "", "ü", *map(str, range(30)))
    assert not log.connected()
    assert log.said[-1] is None


async def test_a_rolled_back_notification_is_not_heard(database: Database) -> None:
    """A transaction's notification is received when it commits, and never when it does not."""
    log = Log(database)
    async with log.running():
        await log.until(True)
        with pytest.raises(ValueError, match="out"):
            async with database.transaction() as connection:
                await notify(connection, "news", "never")
                raise ValueError("out")
        await send(database, "once")
        await log.until(True, "once")


async def test_any_name_is_a_channel(database: Database) -> None:
    """A channel's name is taken as it is, quotes and capitals included."""
    log = Log(database, 'Odd "name"')
    async with log.running():
        await log.until(True)
        await send(database, "x", channel="other")
        await send(database, "y", channel='Odd "name"')
        await log.until(True, "y")


async def test_a_lost_connection_is_made_anew(database: Database) -> None:
    """A connection that the server ends is noticed at once, reported with its error, and replaced."""
    log = Log(database)
    with capture_logs() as logs:
        async with log.running():
            await log.until(True)
            async with database.reading() as connection:
                assert (await connection.execute(text(END_OTHERS))).scalar_one() == 1
            await log.until(True, Exception, True)
            await send(database, "again")
            await log.until(True, Exception, True, "again")
    assert [entry["event"] for entry in logs] == ["listener_disconnected"]


async def test_a_stray_cancellation_does_not_end_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that it awaited was cancelled: it connects again."""
    listen, failed = Listener._listen, False

    async def once(self: Listener) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise asyncio.CancelledError
        await listen(self)

    monkeypatch.setattr(Listener, "_listen", once)
    log = Log(database)
    with capture_logs() as logs:
        async with log.running():
            await log.until(True)
    assert [entry["event"] for entry in logs] == ["listener_disconnected"]


async def test_the_server_restarts(database: Database, postgres_cluster: PostgresCluster) -> None:
    """It survives a server that is down for a while."""
    log = Log(database)
    async with log.running():
        await log.until(True)
        await postgres_cluster.server.stop()
        try:
            await log.until(True, Exception)
            assert not log.connected()
            await asyncio.sleep(0.2)
        finally:
            await postgres_cluster.server.start()
        await log.until(True, Exception, True)
        await send(database, "again")
        await log.until(True, Exception, True, "again")


async def test_a_silent_peer_is_noticed(dsn: str) -> None:
    """A connection whose peer has silently gone is closed after the probe."""
    head, _, tail = dsn.rpartition("@")
    address, _, rest = tail.partition("/")
    host, _, port = address.partition(":")
    open_ = asyncio.Event()
    open_.set()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await open_.wait()
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(host, int(port))
        for one, other in ((reader, downstream), (upstream, writer)):
            task = asyncio.create_task(pump(one, other))
            pumps.add(task)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    through = f"{head}@127.0.0.1:{server.sockets[0].getsockname()[1]}/{rest}"
    database = Database(make_engine(through, connect_timeout=0.5), "backend")
    log = Log(database, probe_interval=0.15)
    try:
        async with log.running():
            await log.until(True)
            open_.clear()
            await log.until(True, Exception, seconds=15)
            open_.set()
            await log.until(True, Exception, True)
    finally:
        open_.set()
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await asyncio.sleep(0)


@pytest.mark.parametrize("broken", ["notify", "connect"])
async def test_a_callback_that_raises(database: Database, broken: str) -> None:
    """A callback that raises is logged, and listening goes on."""
    heard: list[str] = []

    def fail() -> None:
        raise ValueError("no")

    def on_notify(payload: str) -> None:
        heard.append(payload)
        if broken == "notify":
            fail()

    def on_connect() -> None:
        heard.append("connected")
        if broken == "connect":
            fail()

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # the condition is a plain list
                await asyncio.sleep(0.01)

    with capture_logs() as logs:
        task = asyncio.create_task(Listener(database, "news", on_notify, on_connect).run())
        await until(lambda: heard == ["connected"])
        await send(database, "a", "b")
        await until(lambda: heard == ["connected", "a", "b"])
        task.cancel()
        await asyncio.wait([task])
    assert {entry["event"] for entry in logs} == {"listener_callback_failed"}


async def test_a_payload_has_its_limit(database: Database) -> None:
    """The longest payload is accepted; one byte more is refused before the transaction fails."""
    async with database.transaction() as connection:
        await notify(connection, "news", "x" * 7999)
        with pytest.raises(ValueError, match="7999"):
            await notify(connection, "news", "é" * 4000)
        await connection.execute(text("SELECT 1"))


def test_it_needs_an_engine_that_knows_how_to_connect() -> None:
    """An engine made elsewhere is refused."""
    from sqlalchemy.ext.asyncio import create_async_engine

    with pytest.raises(ValueError, match="make_engine"):
        Listener(Database(create_async_engine("postgresql+aiopg://h/d"), "backend"), "c", print, lambda: None)


def test_a_listener_keeps_trying_from_the_start() -> None:
    """A server that is down when listening begins is waited for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    async def scenario() -> None:
        log = Log(Database(make_engine(f"postgres://u@127.0.0.1:{port}/d"), "backend"))
        async with log.running():
            await asyncio.sleep(0.2)
            assert log.said == []

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["listener_disconnected"]
