"""Docker daemons of our own, for tests: each with socket, data, state and pid file in a folder that goes with it.

`python -m galaxy_engine.testing.dockerd start|stop FOLDER` does it for scripts: `start` prints the daemon's address,
or on stderr why there is none.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from galaxy_engine.drivers.docker.daemon import default_host

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
POLL = 0.1
APART = ("unshare", "--net")
"""What keeps a second daemon of a machine from the first one's bridges and firewall rules.

Its options do not: a daemon that starts with `--bridge=none` removes the interface docker0, whoever made it.
"""


class NoDockerError(Exception):
    """No daemon can be had; the text is the daemon's own last line, or says what is missing."""


class Dockerd:
    """A daemon that lives in a folder. The object keeps nothing: another process may stop what this one started."""

    def __init__(self, folder: Path, *, apart: bool = False) -> None:
        """`folder` must be short: the path of a Unix socket has at most 107 bytes.

        `apart`: with a network of its own that reaches nothing, beside a daemon that is used in earnest.
        """
        self._folder = folder
        self._prefix = APART if apart else ()
        self.host = f"unix://{folder}/docker.sock"

    def start(self) -> None:
        """Start the daemon unless it answers. Raise `NoDockerError` with its last line if it does not come up."""
        if answers(self.host):
            return
        program = shutil.which("dockerd")
        if program is None:
            raise NoDockerError("dockerd is not installed")
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [*self._prefix, program, *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not answers(self.host):
            if process.poll() is not None:
                raise NoDockerError(self.last_line())
            if time.monotonic() > deadline:
                self.stop()
                raise NoDockerError(f"no answer in {START_TIMEOUT:g} s: {self.last_line()}")
            time.sleep(POLL)
        process.returncode = 0  # it goes on without us, which Popen would warn of

    def _arguments(self) -> Sequence[str]:
        folder = self._folder
        places = {"data-root": folder / "data", "exec-root": folder / "exec", "pidfile": folder / "docker.pid"}
        return [
            f"--host={self.host}", "--log-level=warn", *(f"--{name}={path}" for name, path in places.items()),
        ]  # fmt: skip

    @property
    def _log(self) -> Path:
        return self._folder / "dockerd.log"

    def last_line(self) -> str:
        """Return the last line that the daemon wrote."""
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return "dockerd wrote nothing"

    def pid(self) -> int | None:
        """Return the daemon's process id, None if there is no daemon."""
        try:
            pid = int((self._folder / "docker.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._folder).encode() in command else None

    def pause(self) -> None:
        """Suspend the daemon: connections are accepted, and nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended daemon."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the daemon alone, as a crash does, and wait until it is gone. `start` brings it back, with its data."""
        pid = self.pid()
        if pid is None:
            return
        self._send(signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)  # what nobody has waited for counts as running, for the next daemon
        while Path(f"/proc/{pid}").exists():
            time.sleep(POLL)

    def stop(self) -> None:
        """Stop the daemon, its containers with it, and wait until it is gone. Data stay."""
        pid = self.pid()
        if pid is None:
            return
        self._send(signal.SIGTERM)
        self.resume()
        deadline = time.monotonic() + STOP_TIMEOUT
        while self.pid() == pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(POLL)

    def _send(self, number: signal.Signals) -> None:
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def clear(self) -> None:
        """Stop the daemon and remove its folder.

        Networks go first: the daemon leaves their bridges behind, with addresses that the next daemon's networks of
        the same names do not have, so that nothing on them is reached.
        """
        if self.pid() is not None:
            with contextlib.suppress(OSError):
                _ask(self.host, "POST /networks/prune", STOP_TIMEOUT)
        self.stop()
        if self._folder.exists():  # one that was killed has left its data mounted
            subprocess.run(["umount", "--lazy", str(self._folder / "data")], capture_output=True, check=False)  # noqa: S603, S607
        shutil.rmtree(self._folder, ignore_errors=True)


def answers(host: str, timeout: float = 2.0) -> bool:
    """Whether a daemon answers at the address, which is a Unix socket's or of plain TCP."""
    try:
        return b" 200 " in _ask(host, "GET /_ping", timeout)
    except OSError:
        return False


def _ask(host: str, request: str, timeout: float) -> bytes:
    """Return the beginning of the daemon's answer; raise OSError if there is none in time."""
    parts = urlsplit(host)
    family, address = (
        (socket.AF_UNIX, parts.path)
        if parts.scheme == "unix"
        else (socket.AF_INET, (parts.hostname, parts.port or 2375))
    )
    with socket.socket(family) as connection:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.sendall(f"{request} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n".encode())
        return connection.recv(64)


def main(arguments: Sequence[str]) -> int:
    """Start or stop the daemon of a folder; where another answers at the usual address, that one is used."""
    command, folder = arguments
    daemon = Dockerd(Path(folder))
    if command == "stop":
        daemon.clear()
        return 0
    usual = default_host(os.environ)
    try:
        if not answers(usual):
            daemon.start()
            usual = daemon.host
    except NoDockerError as error:
        print(error, file=sys.stderr)  # noqa: T201  a command
        return 1
    print(usual)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
