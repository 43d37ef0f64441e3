"""Files of one's own under the XDG configuration folder: written whole or not at all, read only where nobody else can.

A crash at any line leaves the former file: the new one is written beside it, synced, and renamed over it.
"""

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from galaxy_client.cli.failures import CommandError

OWNED = os.name == "posix"
"""Whether files have an owner and permissions to check."""


def folder() -> Path:
    """Return the folder of our files (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".config"
    return base / "galaxy"


def write(path: Path, document: Any) -> None:
    """Write a document to a file that nobody else can read. Raise CommandError where that is not possible."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CommandError(
            f"cannot write {path}: {error.strerror}", "Make its folder writable, and repeat it."
        ) from None


def read(path: Path, *, secret: bool) -> Any:
    """Return a document, or None where there is none. Raise CommandError for a file that is not only ours to read."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", "Delete it, and sign in again.") from None
    with os.fdopen(handle, encoding="utf-8") as file:
        if secret and OWNED:
            _check(path, os.fstat(file.fileno()))
        try:
            return json.load(file)
        except ValueError:
            raise CommandError(f"{path} is damaged.", "Delete it, and sign in again.") from None


def _check(path: Path, status: os.stat_result) -> None:
    """Raise CommandError unless a file is a regular one that its owner alone, who we are, may read."""
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise CommandError(f"{path} is not a file of yours.", "Delete it, and sign in again.")
    if status.st_mode & 0o077:
        raise CommandError(
            f"{path} has your session token and can be read by others (mode {status.st_mode & 0o777:03o}).",
            "If nobody else has seen it: chmod 600 it. Else delete it, sign in again, and end the former session.",
        )
