"""What /proc says of processes: which carry the identity of an engine, and which are still those they were."""

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from galaxy_engine.drivers.driver import EngineId

PROC = Path("/proc")
_STATE, _SESSION, _START, _EXIT = 0, 3, 19, 49
"""Places in /proc/<pid>/stat after the name in parentheses: fields 3, 6, 22 and 52 of proc(5)."""


class Process(msgspec.Struct, frozen=True):
    """A living process that carries the identity of an engine."""

    pid: int
    start: int
    """Clock ticks since boot: with the pid it names one process."""
    session: int
    id: EngineId
    port: int
    image: str

    @property
    def handle(self) -> str:
        """What the driver calls an engine whose first process this is."""
        return f"{self.pid}:{self.start}"

    @property
    def leads(self) -> bool:
        """Whether this is the engine itself and not a process that it started."""
        return self.session == self.pid


class Stat(msgspec.Struct, frozen=True):
    """The part of /proc/<pid>/stat that matters here."""

    start: int
    session: int
    zombie: bool
    exit_status: int
    """As wait(2) returns it; 0 for a living process, and where we may not know."""


def stat(pid: int) -> Stat | None:
    """Return what is known of the process, None if there is none."""
    try:
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Stat(int(fields[_START]), int(fields[_SESSION]), fields[_STATE] in {b"Z", b"X"}, int(fields[_EXIT]))


def alive(pid: int, start: int) -> bool:
    """Whether the process lives: a zombie does not, nor does another process that got its number."""
    found = stat(pid)
    return found is not None and found.start == start and not found.zombie


def available() -> bool:
    """Whether this system has /proc as Linux has it."""
    return (PROC / "self/stat").exists()


def exit_code(status: int) -> int:
    """Return what wait(2) gave as an exit code: 128 and the signal's number where a signal killed the process."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def send(pid: int, start: int, number: signal.Signals) -> None:
    """Send the signal to this very process; nothing happens if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            if alive(pid, start):
                os.kill(pid, number)
            return
        try:
            if alive(pid, start):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def start_of_own(pid: int) -> int:
    """Return the start of a child that is not reaped yet, which has one in any case."""
    found = stat(pid)
    if found is None:
        raise ProcessLookupError(f"{pid} is not a child of this process")
    return found.start


def session(leader: int) -> set[tuple[int, int]]:
    """Return pid and start of every living process in the session."""
    found = ((pid, stat(pid)) for pid in _pids())
    return {(pid, seen.start) for pid, seen in found if seen is not None and seen.session == leader and not seen.zombie}


def boot_id() -> str:
    """Return what changes with each boot of the machine, after which pids and start times begin again."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def engines(owner: str) -> list[Process]:
    """Return every living process of the owner's engines that this user may look into."""
    return [process for pid in _pids() if (process := _identify(pid, owner)) is not None]


def _pids() -> Iterator[int]:
    with os.scandir(PROC) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield int(entry.name)


def _identify(pid: int, owner: str) -> Process | None:
    try:
        block = (PROC / str(pid) / "environ").read_bytes()
    except OSError:  # another user's, or gone
        return None
    if f"GALAXY_OWNER={owner}\0".encode() not in block:
        return None
    environment = dict(entry.partition("=")[::2] for entry in block.decode("utf-8", "replace").split("\0"))
    found = stat(pid)
    if found is None or found.zombie:
        return None
    try:
        identity = EngineId(owner, UUID(environment["GALAXY_GAME"]), int(environment["GALAXY_GENERATION"]))
        port = int(environment["PORT"])
    except (KeyError, ValueError):  # somebody's who has a variable of that name
        return None
    return Process(pid, found.start, found.session, identity, port, environment.get("GALAXY_IMAGE", ""))
