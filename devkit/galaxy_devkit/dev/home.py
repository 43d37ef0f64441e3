"""The directory in which `backend dev` keeps its data from one run to the next."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_chassis.errors import BootError


class Home:
    """`secret_key`, `gateway_token` and `admin_password`, `postgres/`, and a directory for each companion."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def postgres(self) -> Path:
        """Where the embedded Postgres lives."""
        return self.folder / "postgres"

    @property
    def postgres_port(self) -> int:
        """The port that the embedded Postgres had last, so that tools find it again; 0 before its first start."""
        try:
            return int((self.folder / "postgres_port").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def keep_postgres_port(self, port: int) -> None:
        """Keep the port for the next start."""
        (self.folder / "postgres_port").write_text(f"{port}\n")

    def companion(self, name: str) -> Path:
        """Return the directory of a companion, which the companion itself creates."""
        return self.folder / name

    def secret(self, name: str, length: int = 48) -> str:
        """Return the secret of this name: `length` random bytes, drawn once and readable by their owner only."""
        path = self.folder / name
        if not path.exists():
            half = path.with_suffix(".half")  # renamed when it is complete: a crash leaves no empty secret
            half.unlink(missing_ok=True)
            half.touch(mode=0o600)
            half.write_text(secrets.token_urlsafe(length) + "\n")
            half.replace(path)
        return path.read_text().strip()


@contextmanager
def opened(folder: Path) -> Iterator[Home]:
    """Create the directory where needed and lock it.

    Raise BootError while another `backend dev` has it, or for lack of rights. The lock ends with the process,
    however that ends.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BootError(
            f"cannot keep data in {folder}: {error.strerror}; name another directory with --data"
        ) from error
    try:
        _take(lock, folder)
        (folder / ".gitignore").write_text("*\n")
        yield Home(folder)
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = os.pread(lock, 20, 0).decode() or "unknown"
        raise BootError(
            f"`backend dev` is already running on {folder} (process {process}): "
            "stop that one, or name another directory with --data"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
