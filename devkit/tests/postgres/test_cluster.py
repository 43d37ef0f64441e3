"""The data directory: its lock, and what an earlier server left in it."""

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from galaxy_devkit.postgres.cluster import Cluster
from galaxy_devkit.postgres.server import EmbeddedPostgres, EmbeddedPostgresError, available

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


def query(server: EmbeddedPostgres, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(server.dsn())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


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


def test_other_major_version(server: EmbeddedPostgres, data: Path) -> None:
    """A cluster of another major version is refused with both numbers and what to do."""
    (data / "pgdata" / "PG_VERSION").write_text("11\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 11, .* brings \d+: delete"):
        server.start_sync()


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


def test_the_log_of_the_run_before_is_kept(data: Path) -> None:
    """One run back, and no further."""
    cluster = Cluster(data)
    cluster.log.write_text("of the first run\n")
    cluster.prepare(sync=False)
    assert (data / "postgres.log.1").read_text() == "of the first run\n"
    assert cluster.log.read_text() == ""


def test_the_gravest_line_is_told(tmp_path: Path) -> None:
    """Of a log, the last line that tells of an error; without one, the last there is."""
    cluster = Cluster(tmp_path)
    for said, told in (
        ("", "nothing was logged"),
        ("LOG: one\nLOG: two\n\n", "LOG: two"),
        ("FATAL: no memory\nLOG: shut down\n", "FATAL: no memory"),
        ("FATAL: one\ninitdb: error: two\nLOG: shut down\n", "initdb: error: two"),
    ):
        cluster.log.write_text(said)
        assert cluster.complaint() == told
