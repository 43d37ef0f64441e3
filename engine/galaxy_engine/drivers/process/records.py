"""One file for each engine in the runtime directory: its name is the mutex, its contents outlive the process.

The first line says which engine and which process it is, the second, written by whoever reaps the process, how it
ended. Whoever launches or removes an engine holds the file's lock meanwhile. Lines are only ever added, each in one
write, so readers need no lock. What the engine wrote stands in a file beside it.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from galaxy_engine.drivers.driver import EngineId
from galaxy_engine.failures import ConfigInvalid, NameTaken, StartFailed

LOG = ".log"
LOCK_TIMEOUT = 30.0
"""Seconds to wait for another launch or removal of the same engine."""
LOCK_POLL = 0.02


class Record(msgspec.Struct, frozen=True):
    """An engine that was started."""

    id: EngineId
    image: str
    pid: int
    start: int
    port: int
    boot: str
    """The boot of the machine in which `pid` and `start` mean something."""
    started_at: datetime

    @property
    def handle(self) -> str:
        """What the driver calls the engine."""
        return f"{self.pid}:{self.start}"


class Ending(msgspec.Struct, frozen=True):
    """How an engine ended."""

    exit_code: int | None
    """The exit status; 128 and the signal's number where a signal killed it; None where somebody else reaped it."""
    ended_at: datetime


class Entry(msgspec.Struct, frozen=True):
    """A record with its ending, None while the process lives or where nobody saw it end."""

    record: Record
    ending: Ending | None


class Records:
    """The runtime directory of one owner. `path` is made when it is first written to."""

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner

    def ensure_directory(self) -> None:
        """Make the directory. Raise `ConfigInvalid` if it cannot be had for this user alone."""
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._path.stat()
        except OSError as error:
            raise ConfigInvalid(f"the runtime directory {self._path} cannot be made", str(error)) from error
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise ConfigInvalid(f"the runtime directory {self._path} can be written to by other users")
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise ConfigInvalid(f"the runtime directory {self._path} cannot be written to")

    def entries(self) -> list[Entry]:
        """Return what is recorded of this owner's engines."""
        found = (self.read(path) for path in self.files())
        return [entry for entry in found if entry is not None and entry.record.id.owner == self._owner]

    def files(self) -> Iterator[Path]:
        """Return the files that carry names of this owner's engines; others' may be among them."""
        if not self._path.is_dir():
            return iter(())
        return (path for path in self._path.glob(f"galaxy-{self._owner[:8]}-*") if path.suffix != LOG)

    def log(self, identity: EngineId) -> Path:
        """Return where the engine's output is kept."""
        return self._path / f"{identity.name}{LOG}"

    def launching(self, identity: EngineId) -> bool:
        """Whether the engine's file is there with nothing in it yet."""
        path = self._path / identity.name
        return path.exists() and path.stat().st_size == 0

    @staticmethod
    def read(path: Path) -> Entry | None:
        """Return the file's contents; None if it is gone, not ours, or of a launch that is not done."""
        try:
            return parse(path.read_bytes())
        except OSError:
            return None

    @contextlib.asynccontextmanager
    async def locked(self, identity: EngineId) -> AsyncIterator["RecordFile"]:
        """Lock the engine's file, created if it is missing. Raise `StartFailed` if others hold the lock too long."""
        path = self._path / identity.name
        deadline = asyncio.get_running_loop().time() + LOCK_TIMEOUT
        while (file := self._try_lock(path)) is None:
            if asyncio.get_running_loop().time() > deadline:
                raise StartFailed(f"{path} is locked by another process")
            await asyncio.sleep(LOCK_POLL)
        with file:
            yield file

    @staticmethod
    def _try_lock(path: Path) -> "RecordFile | None":
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        file = RecordFile(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116  beside fstat
                return file
        except (BlockingIOError, FileNotFoundError):  # held, or removed by who held it
            pass
        file.close()
        return None


class RecordFile:
    """An engine's file while its lock is held; the lock goes with the descriptor."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def __enter__(self) -> "RecordFile":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)

    def entry(self, owner: str) -> Entry | None:
        """Return what is recorded, None in a new file. Raise `NameTaken` if it is not this owner's."""
        contents = os.pread(self._descriptor, 65536, 0)
        if not contents:
            return None
        entry = parse(contents)
        if entry is None:
            raise NameTaken(f"{self.path} is not the record of an engine")
        if entry.record.id.owner != owner:
            raise NameTaken(f"{self.path} is the record of another owner's engine", entry.record.id.owner)
        return entry

    def write(self, record: Record) -> int:
        """Write the first line. Return a descriptor of the file without the lock, for the second."""
        os.write(self._descriptor, msgspec.json.encode(record) + b"\n")
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def unlink(self) -> None:
        """Remove the file and the engine's output. Who has the file open goes on with one that has no name."""
        self.path.with_name(self.path.name + LOG).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def parse(contents: bytes) -> Entry | None:
    """Return what the lines say; None if the first is not whole or is not ours."""
    first, complete, rest = contents.partition(b"\n")
    if not complete:
        return None
    second, ended, _ = rest.partition(b"\n")
    try:
        record = msgspec.json.decode(first, type=Record)
        return Entry(record, msgspec.json.decode(second, type=Ending) if ended else None)
    except msgspec.DecodeError:
        return None


def ending_line(exit_code: int | None) -> bytes:
    """Return the second line."""
    return msgspec.json.encode(Ending(exit_code, datetime.now(UTC))) + b"\n"
