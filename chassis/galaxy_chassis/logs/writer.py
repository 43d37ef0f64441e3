"""Writes log lines in batches: one system call for many lines, none of which blocks the service."""

import asyncio
import atexit
import os
import select
import threading
from collections.abc import Callable
from functools import partial
from typing import IO, Any, SupportsBytes

BATCH_SECONDS = 0.05
BATCH_BYTES = 65_536
HELD_BYTES = 8 * 1024 * 1024
"""Bytes buffered while the output is not read; further lines are dropped and counted."""
_PIECE = 4096  # PIPE_BUF: a pipe that polls as writable takes this much without blocking (pipe(7))
_WATCH = 1.0  # seconds between two checks by the thread
_LAST_WORDS = 1.0  # seconds the reader has at the end to read the rest

_LATER_BYTES = 320
"""Estimated bytes of a line that is rendered later."""

_Send = Callable[[bytes, float, int], bytes]
"""Writes a batch in pieces of a size, waiting for the reader; returns what was not read in time."""


class LineWriter:
    """A buffer of lines before one stream. Safe to use from any thread.

    Ordinary lines go out about `BATCH_SECONDS` later, or once there are `BATCH_BYTES` of them: from the event loop that
    wrote the first of them, else from a thread of its own. Urgent ones go out before `write` returns. Neither waits
    for the reader of a pipe or socket: when it has stopped reading, the thread does. (A terminal that was stopped, or a
    disk that hangs, holds up whoever writes.) A stream that is closed or broken swallows its lines.

    The thread does not write all lines because it would starve: a busy event loop releases the GIL in each iteration,
    which wakes a waiting thread but is too short for it to acquire the GIL. At 9,000 requests a second that was 5,000
    switches of threads, for 50 batches. Every `_WATCH` seconds the thread writes lines that a blocked event loop has
    left behind.
    """

    def __init__(self, stream: IO[Any]) -> None:
        self._send, self._release = _open(stream)
        self._lines: list[SupportsBytes] = []
        self._size = 0
        self.dropped = 0
        """Lines lost because the output was not read, and not yet reported."""
        self._lock = threading.RLock()  # re-entrant: a signal handler may log while a line is being added
        self._sending = threading.Lock()
        self._behind = False
        """Whether the reader has not read all that was sent last: then only the thread sends."""
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()
        atexit.register(self.stop)

    def write(self, line: bytes, *, urgent: bool = False) -> None:
        """Add a line, which ends in a newline."""
        self._add(line, len(line), urgent)

    def write_later(self, line: SupportsBytes) -> None:
        """Add a line that is only rendered when its batch is written: it must not change, and not raise."""
        self._add(line, _LATER_BYTES, False)

    def _add(self, line: SupportsBytes, length: int, urgent: bool) -> None:
        with self._lock:
            size = self._size + length
            if size > HELD_BYTES:
                self.dropped += 1
                return
            self._lines.append(line)
            self._size = size
        if self._stopped.is_set() or ((urgent or size >= BATCH_BYTES) and not self._behind):
            self.flush()
        elif size == length:
            self._send_soon()

    def flush(self, wait: float = 0.0) -> None:
        """Write the buffered lines, as far as the reader reads them within about `wait` seconds."""
        if not self._sending.acquire(blocking=wait > 0, timeout=wait or -1):
            return  # the thread is writing, and continues until nothing is left
        try:
            while self._size and self._send_batch(wait, _PIECE):
                pass  # lines that arrived meanwhile
        finally:
            self._sending.release()
        if self._size:
            self._wake.set()

    def stop(self) -> None:
        """Write what is left and stop the thread. Later lines are written at once."""
        atexit.unregister(self.stop)
        self._stopped.set()
        self._wake.set()
        self._thread.join(_LAST_WORDS)
        self.flush(_LAST_WORDS)

    def close(self) -> None:
        """Stop, and release the stream. Later lines are lost."""
        self.stop()
        if not self._thread.is_alive():
            self._send = _swallow
            self._release()

    def _send_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._wake.set()
        else:
            loop.call_later(BATCH_SECONDS, self.flush)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if self._wake.wait(_WATCH):
                self._stopped.wait(BATCH_SECONDS)
                self._wake.clear()
            with self._sending:
                if self._size:
                    self._send_batch(BATCH_SECONDS, BATCH_BYTES)
            if self._size:  # arrived meanwhile, or was not read
                self._wake.set()

    def _send_batch(self, wait: float, piece: int) -> bool:
        """Send the buffered lines; return whether the reader read all of them."""
        rest = self._send(self._take(), wait, piece)
        self._behind = bool(rest)
        if rest:
            with self._lock:
                self._lines.insert(0, rest)
                self._size += len(rest)
        return not rest

    def _take(self) -> bytes:
        with self._lock:
            if self.dropped and self._size < HELD_BYTES // 2:
                self._lines.append(b'{"level":"warning","event":"log_lines_dropped","count":%d}\n' % self.dropped)
                self.dropped = 0
            lines, self._lines, self._size = self._lines, [], 0
        return b"".join(map(bytes, lines))


def _open(stream: IO[Any]) -> tuple[_Send, Callable[[], None]]:
    try:
        stream.flush()
        # a descriptor of our own: were stdout closed, its number would soon be some socket's
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return partial(_send_to_object, stream), _nothing
    return (lambda batch, wait, piece: _send_to_descriptor(descriptor, batch, wait, piece)), lambda: os.close(
        descriptor
    )


def _send_to_descriptor(descriptor: int, batch: bytes, wait: float, piece: int) -> bytes:
    view = memoryview(batch)
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    try:
        while view:
            if not poll.poll(wait * 1000):
                return bytes(view)
            view = view[os.write(descriptor, view[:piece]) :]
    except BlockingIOError:  # another process filled it in between
        return bytes(view)
    except OSError:
        return b""  # broken, or the disk is full: there is nowhere left to report it
    return b""


def _send_to_object(stream: IO[Any], batch: bytes, _wait: float, _piece: int) -> bytes:
    try:
        try:
            stream.write(batch)
        except TypeError:
            stream.write(batch.decode("utf-8", "replace"))
        stream.flush()
    except (OSError, ValueError):
        return b""
    return b""


def _swallow(_batch: bytes, _wait: float, _piece: int) -> bytes:
    return b""


def _nothing() -> None:
    pass
