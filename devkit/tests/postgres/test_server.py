"""The embedded server's life: start, stop, addresses, failures."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import uvloop

from galaxy_devkit.postgres.server import EmbeddedPostgres, EmbeddedPostgresError, available

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


def query(server: EmbeddedPostgres, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(server.dsn())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


async def test_first_start_makes_the_cluster(tmp_path: Path) -> None:
    """The first start creates a cluster of UTF-8, UTC and 200 connections that knows the case of all letters."""
    async with EmbeddedPostgres(tmp_path / "not" / "there" / "yet") as server:
        assert query(server, "SELECT current_setting('server_encoding')") == "UTF8"
        assert query(server, "SELECT current_setting('TimeZone')") == "UTC"
        assert query(server, "SELECT current_setting('max_connections')") == "200"
        assert query(server, "SELECT current_setting('fsync')") == "on"
        assert query(server, "SELECT lower('ÉA')") == "éa"


async def test_restart_keeps_data_and_address(server: EmbeddedPostgres) -> None:
    """A stopped server starts again with its data, at the same address."""
    await server.start()
    before = server.dsn()
    query(server, "INSERT INTO kept VALUES (2)")
    await server.stop()
    assert server.pid is None
    await server.start()
    assert server.dsn() == before
    assert query(server, "SELECT sum(n) FROM kept") == 3


async def test_stop_is_idempotent(server: EmbeddedPostgres) -> None:
    """Stopping a server that does not run does nothing."""
    await server.stop()
    await server.start()
    await server.stop("immediate")
    await server.stop("immediate")


def test_uvloop(server: EmbeddedPostgres) -> None:
    """It works under uvloop, and outlives the loop that started it."""
    uvloop.run(server.start())
    assert query(server, "SELECT 1") == 1
    uvloop.run(server.stop())
    assert server.pid is None


def test_starting_thread_may_end(server: EmbeddedPostgres) -> None:
    """The end of the thread that started it, a parent to the kernel, does not end the server."""
    starter = threading.Thread(target=server.start_sync)
    starter.start()
    starter.join()
    time.sleep(0.1)
    assert query(server, "SELECT 1") == 1


def test_start_after_killed_server(data: Path) -> None:
    """A server that was killed with clients in it starts again and recovers what was committed."""
    server = EmbeddedPostgres(data, settings={"synchronous_commit": "on"}, durable=False)
    server.start_sync()
    with contextlib.closing(psycopg2.connect(server.dsn())):
        query(server, "INSERT INTO kept VALUES (2)")
        server.kill()
        assert server.pid is None
        server.start_sync()
    assert query(server, "SELECT sum(n) FROM kept") == 3
    server.stop_sync("immediate")


def test_port_asked_for(data: Path) -> None:
    """The port asked for is used, and one that is taken is refused by its number."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = EmbeddedPostgres(data, port=port, durable=False)
        with pytest.raises(EmbeddedPostgresError, match=f"port {port} .* taken .*choose another"):
            server.start_sync()
    server.start_sync()
    assert urlsplit(server.dsn()).port == port
    server.stop_sync("immediate")


def test_lost_port(server: EmbeddedPostgres) -> None:
    """A port that was free and is taken by the next start gives way to another."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server.port = other.getsockname()[1]
        server.start_sync()
        assert server.port != other.getsockname()[1]
    assert query(server, "SELECT 1") == 1


async def test_failure_tells_the_log(data: Path) -> None:
    """A server that does not start is an error with its last message and the place of its log."""
    server = EmbeddedPostgres(data, settings={"shared_buffers": "many"})
    with pytest.raises(EmbeddedPostgresError, match=r'FATAL: .*"shared_buffers": "many".*postgres\.log'):
        await server.start()
    assert server.pid is None


def test_unusable_directory(tmp_path: Path) -> None:
    """A data directory that cannot be made is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"cannot use .*file/data: .*choose another"):
        EmbeddedPostgres(tmp_path / "file" / "data").start_sync()


async def test_cancelled_start(server: EmbeddedPostgres) -> None:
    """A cancelled start leaves no server behind."""
    starting = asyncio.create_task(server.start())
    await asyncio.sleep(0.02)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert server.pid is None


def test_password(server: EmbeddedPostgres, data: Path) -> None:
    """No connection succeeds without the password, which only its owner can read."""
    server.start_sync()
    assert (data / "password").stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.dsn(), password="wrong")


def test_dsn(server: EmbeddedPostgres) -> None:
    """The address quotes the database and its parameters, and there is none before the first start."""
    with pytest.raises(EmbeddedPostgresError, match="start it before"):
        server.dsn()
    server.start_sync()
    dsn = server.dsn("a b/c", application_name="x&y z")
    assert dsn.endswith(f"@127.0.0.1:{server.port}/a%20b%2Fc?application_name=x%26y%20z")


def test_surroundings_do_not_matter(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables for PostgreSQL's tools and an unreachable working directory do not reach the server."""
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "nowhere")
    monkeypatch.chdir(tmp_path)
    server.start_sync()
    assert query(server, "SELECT 1") == 1
