"""Where tests get a Docker daemon from, and what they say without one."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from galaxy_engine.testing.dockerd import Dockerd, NoDockerError, answers, main

DOCKERD = """#!/bin/sh
echo 'level=info msg="starting"' >&2
echo 'failed to start daemon: no room' >&2
exit 1
"""
A_TEST = """
import pytest

@pytest.mark.docker
def test_one(docker_host):
    assert docker_host.startswith("unix://")
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a daemon, whose dockerd does not start."""
    program = tmp_path / "bin" / "dockerd"
    program.parent.mkdir()
    program.write_text(DOCKERD)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("REQUIRE_DOCKER", raising=False)
    return program


def test_networks_go_with_their_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the daemon is stopped its networks are removed: their bridges would outlive it."""
    daemon, requests = Dockerd(tmp_path), list[bytes]()
    monkeypatch.setattr(Dockerd, "pid", lambda _: os.getpid())
    monkeypatch.setattr(Dockerd, "stop", lambda _: requests.append(b"stopped"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_answer, listener, requests)
            daemon.clear()
    assert requests == [b"POST /networks/prune HTTP/1.0", b"stopped"]
    assert not tmp_path.exists()


def _answer(listener: socket.socket, requests: list[bytes]) -> None:
    connection, _ = listener.accept()
    with connection:
        requests.append(connection.recv(1024).split(b"\r\n")[0])
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n{}")


def run(folder: Path) -> str:
    """Run a test that needs Docker, and return what pytest prints."""
    (folder / "test_it.py").write_text(A_TEST)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = docker: needs Docker\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:galaxy",
        str(folder / "test_it.py"),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_skipped_with_the_daemons_last_line(broken: Path, tmp_path: Path) -> None:
    """Where no daemon can be started, tests are skipped, and the daemon's last line is the reason."""
    output = run(tmp_path)
    assert "none can be started: failed to start daemon: no room" in output
    assert "1 skipped" in output


def test_failed_where_docker_is_required(broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REQUIRE_DOCKER=1 makes a missing daemon a failure."""
    monkeypatch.setenv("REQUIRE_DOCKER", "1")
    output = run(tmp_path)
    assert "none can be started: failed to start daemon: no room" in output
    assert "1 error" in output


def test_without_dockerd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no dockerd, that is the reason."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoDockerError, match="not installed"):
        Dockerd(tmp_path).start()


def test_command(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command for scripts says why there is no daemon, and leaves nothing."""
    folder = tmp_path / "daemon"
    assert main(["start", str(folder)]) == 1
    assert capsys.readouterr().err == "failed to start daemon: no room\n"
    assert main(["stop", str(folder)]) == 0
    assert not folder.exists()


@pytest.mark.docker
def test_daemon_that_answers_is_used(
    docker_host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a daemon answers, its address is printed and none is started."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    assert main(["start", str(tmp_path / "daemon")]) == 0
    assert capsys.readouterr().out == f"{docker_host}\n"
    assert not (tmp_path / "daemon").exists()
    assert answers(docker_host)


def test_pid_of_somebody_else(tmp_path: Path) -> None:
    """A pid file that names another process, as after a crash, is not believed."""
    (tmp_path / "docker.pid").write_text(str(os.getpid()))
    daemon = Dockerd(tmp_path)
    assert daemon.pid() is None
    daemon.stop()
