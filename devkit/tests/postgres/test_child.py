"""The step between fork and `postgres`: whose child it is, and as whom it runs."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from galaxy_devkit.postgres import child
from galaxy_devkit.postgres.server import EmbeddedPostgres, available

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


def test_own_session(server: EmbeddedPostgres) -> None:
    """Ctrl-C in a terminal does not reach the server: it is in a session of its own."""
    server.start_sync()
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid


@as_root
def test_root_steps_down(server: EmbeddedPostgres, data: Path) -> None:
    """Under root, the server runs as another account, also where only root may go."""
    data.parent.chmod(0o700)
    server.start_sync()
    assert Path(f"/proc/{server.pid}").stat().st_uid == (data / "pgdata").stat().st_uid != 0


def test_a_parent_that_has_ended_is_noticed() -> None:
    """A step whose parent is gone becomes no server: nobody would ever end it."""
    command = [sys.executable, "-I", "-S", child.__file__, "1", "-1", "-1", "/bin/true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "has ended" in done.stderr


def test_a_program_that_cannot_be_run_is_one_line(tmp_path: Path) -> None:
    """It goes to stderr, which is the server's log."""
    missing = str(tmp_path / "postgres")
    command = [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), "-1", "-1", missing]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"FATAL: cannot run {missing}")
    assert done.stderr.count("\n") == 1
