"""The one thread of a process that starts engines, reads what they write, and reaps them.

One thread, because PR_SET_PDEATHSIG follows the thread that forked: an engine must not die with a pool's idle worker.
It belongs to the process, not to a driver or an event loop, and lives as long as the process does.
"""

import contextlib
import errno
import itertools
import os
import select
import selectors
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from galaxy_engine.drivers.process import child, procfs
from galaxy_engine.drivers.process.records import ending_line

T = TypeVar("T")

LOG_BYTES = 1024 * 1024
"""What is kept of an engine's output; the file may become twice as large for a moment."""
CHUNK = 65536
EXEC_TIMEOUT = 10.0
"""Seconds within which the executable must run."""
PAUSE = 0.02
"""Seconds between two chunks of an engine that writes without end: 3 MB a second, after which its writes wait."""
POLL = 0.2
"""Seconds between looks at children where the system has no pidfd."""


class Child:
    """An engine's process as the thread sees it. Who spawned it reads `report`, and closes it."""

    def __init__(self, pid: int, report: int, output: int, log: int) -> None:
        self.pid = pid
        self.start = procfs.start_of_own(pid)
        self.report = report
        self.output = output
        self.log = log
        self.pidfd: int | None = None
        self.ended = False
        self.exit_code: int | None = None
        self.record: int | None = None
        """Where the ending is written, once the engine has a record."""


class Spawner:
    """Starts, reads and reaps. Its methods may be called from any thread but its own, and wait for the answer."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._run_calls)
        self._calls: deque[Callable[[], None]] = deque()
        self._paused: list[Child] = []
        self._resume_at = 0.0
        self._without_pidfd: set[Child] = set()
        self._listeners: dict[int, Callable[[], None]] = {}
        self._keys = itertools.count()
        threading.Thread(target=self._run, name="engine-spawner", daemon=True).start()

    def spawn(self, executable: str, environment: Mapping[str, str], memory: int, log: Path) -> Child:
        """Start a child. Raise `OSError` if there is no room for another process. `await_exec` says whether it runs."""
        return self._call(lambda: self._spawn(executable, environment, memory, log))

    def keep_ending(self, started: Child, record: int) -> None:
        """Write to the descriptor how the engine ended, as soon as it has, and close it."""

        def attach() -> None:
            started.record = record
            if started.ended:
                _write_ending(started)

        self._call(attach)

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have the listener called, in this thread, after each ending. Return what ends that."""
        key = next(self._keys)
        self._listeners[key] = listener

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def _call(self, function: Callable[[], T]) -> T:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._calls.append(run)
        os.write(self._wake_write, b"\0")
        return future.result()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._timeout()):
                _guarded(key.data)
            if self._paused and time.monotonic() >= self._resume_at:
                resumed, self._paused = self._paused, []
                for started in resumed:
                    _guarded(lambda started=started: self._read(started))  # type: ignore[misc]
            for started in tuple(self._without_pidfd):
                _guarded(lambda started=started: self._reap(started))  # type: ignore[misc]

    def _timeout(self) -> float | None:
        if self._paused:
            return max(0.0, self._resume_at - time.monotonic())
        return POLL if self._without_pidfd else None

    def _run_calls(self) -> None:
        os.read(self._wake_read, 1)
        self._calls.popleft()()

    def _spawn(self, executable: str, environment: Mapping[str, str], memory: int, log: Path) -> Child:
        sink = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        output, output_end = os.pipe()
        report, report_end = os.pipe()
        arguments = [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), str(memory), executable]
        try:
            pid = os.posix_spawn(
                sys.executable,
                arguments,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output_end, 1),
                    (os.POSIX_SPAWN_DUP2, output_end, 2),
                    (os.POSIX_SPAWN_DUP2, report_end, child.REPORT),
                ],
                setsigmask=(),
            )
        except BaseException:
            for descriptor in (sink, output, report):
                os.close(descriptor)
            raise
        finally:
            os.close(output_end)
            os.close(report_end)
        started = Child(pid, report, output, sink)
        self._register(started)
        return started

    def _register(self, started: Child) -> None:
        os.set_blocking(started.output, False)
        self._selector.register(started.output, selectors.EVENT_READ, lambda: self._read(started))
        try:
            started.pidfd = os.pidfd_open(started.pid)
        except (AttributeError, OSError):
            self._without_pidfd.add(started)
        else:
            self._selector.register(started.pidfd, selectors.EVENT_READ, lambda: self._reap(started))

    def _read(self, started: Child) -> None:
        """Read one chunk of output. The pipe stays open as long as any process of the engine has it."""
        try:
            chunk = os.read(started.output, CHUNK)
        except BlockingIOError:
            chunk = None
        paused = started.output not in self._selector.get_map()
        if chunk == b"":
            if not paused:
                self._selector.unregister(started.output)
            os.close(started.output)
            os.close(started.log)
            return
        if chunk is not None:
            with contextlib.suppress(OSError):  # the disk is full: output is lost, the engine goes on
                append(started.log, chunk)
        full = chunk is not None and len(chunk) == CHUNK
        if full:
            if not self._paused:
                self._resume_at = time.monotonic() + PAUSE
            self._paused.append(started)
        if full and not paused:
            self._selector.unregister(started.output)
        elif paused and not full:
            self._selector.register(started.output, selectors.EVENT_READ, lambda: self._read(started))

    def _reap(self, started: Child) -> None:
        try:
            pid, status = os.waitpid(started.pid, os.WNOHANG)
        except ChildProcessError:
            started.exit_code = None
        else:
            if pid == 0:
                return
            started.exit_code = procfs.exit_code(status)
        started.ended = True
        if started.pidfd is not None:
            self._selector.unregister(started.pidfd)
            os.close(started.pidfd)
        self._without_pidfd.discard(started)
        if started.record is not None:
            _write_ending(started)
        for listener in tuple(self._listeners.values()):
            listener()


def _guarded(step: Callable[[], None]) -> None:
    """Do the step. Whatever goes wrong, the thread must go on: its end would be that of every engine."""
    try:
        step()
    except Exception:
        sys.excepthook(*sys.exc_info())


def append(log: int, chunk: bytes) -> None:
    """Add to the log; when it is twice as large as it may be, keep the newer half.

    The end of the file is the end of the output at every moment: it may be read at any.
    """
    size = os.fstat(log).st_size
    if size + len(chunk) > 2 * LOG_BYTES:
        kept = os.pread(log, LOG_BYTES, size - LOG_BYTES)
        size = os.pwrite(log, kept, 0)
        os.ftruncate(log, size)
    os.pwrite(log, chunk, size)


def _write_ending(started: Child) -> None:
    if started.record is not None:
        with contextlib.suppress(OSError):  # the disk is full: seen as ended, without its status
            os.write(started.record, ending_line(started.exit_code))
        os.close(started.record)
        started.record = None


def await_exec(started: Child) -> None:
    """Wait until the executable runs. Raise the `OSError` that stood in the way; nothing is left of the child then."""
    poll = select.poll()
    poll.register(started.report, select.POLLIN)
    try:
        readable = poll.poll(EXEC_TIMEOUT * 1000)
        report = (
            os.read(started.report, CHUNK).decode() if readable else f"{errno.ETIMEDOUT} nothing ran after the fork"
        )
    finally:
        os.close(started.report)
    if not report:
        return
    while procfs.alive(started.pid, started.start):
        procfs.send(started.pid, started.start, signal.SIGKILL)
        time.sleep(POLL / 100)
    number, _, text = report.partition(" ")
    raise OSError(int(number), text)


_lock = threading.Lock()
_spawner: Spawner | None = None


def spawner() -> Spawner:
    """Return this process's thread, started with the first call."""
    global _spawner  # noqa: PLW0603  one a process is the point
    with _lock:
        if _spawner is None:
            _spawner = Spawner()
        return _spawner


def _forget() -> None:
    """Leave the thread to the parent: a forked child has none, and engines are not its children."""
    global _spawner, _lock
    _spawner, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
