"""A watchdog over the event loop: finds the plugin whose code blocks it, from a separate thread.

A task that computes, or waits without yielding, blocks all others, and none of them can notice. The loop only records
the time a few times a second; a thread checks that it has, and if not, what the loop's thread is doing.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import current_request

THRESHOLD = 1.0
"""Seconds for which the loop may be blocked before it is reported."""
_BEATS = 4
"""How often within them the loop records the time, and the thread checks it."""
_FRAMES = 8
"""The number of innermost frames that are logged."""
_LOOPS = ("asyncio", "selectors", "uvloop")
"""Packages whose frames are innermost while the loop waits for work."""

_log = get_logger("galaxy_chassis.watchdog")


class LoopWatchdog:
    """Logs `event_loop_blocked` while the loop is blocked, each time that time has doubled, and `event_loop_resumed`
    after.

    Both lines name the plugin whose code it is, or else `process`: that of the innermost frame in a plugin's package;
    where there is none, that of the current request (from Python 3.12 on, where other threads can see it), or the one
    in the name of the task.
    """

    def __init__(
        self,
        packages: Mapping[str, str],
        *,
        process: str = "kernel",
        threshold: float = THRESHOLD,
        monotonic: Callable[[], float] = time.monotonic,
        on_delay: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Do nothing yet.

        `packages` holds the plugins' names by the names of their packages. `on_delay` is called each time the loop
        records the time, with the seconds that it is late.
        """
        self._packages, self._process = packages, process
        self._threshold, self._period, self._monotonic = threshold, threshold / _BEATS, monotonic
        self._on_delay = on_delay
        self._beat = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reported: tuple[float, float, str] | None = None
        """The blockage last reported: the last beat before it, how long it had lasted, and its plugin."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the running loop until the end of the block."""
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        self._reported = None
        self._note_time(loop, self._monotonic())
        stopped = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(loop, thread, stopped), name="watchdog", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stopped.set()
            if self._timer is not None:
                self._timer.cancel()
            watcher.join()

    def _note_time(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._beat = self._monotonic()
        self._on_delay(max(0.0, self._beat - due))
        self._timer = loop.call_later(self._period, self._note_time, loop, self._beat + self._period)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int, stopped: threading.Event) -> None:
        while not stopped.wait(self._period):
            self.look(loop, thread)

    def look(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Check once, from any thread, whether the loop that `thread` runs records the time."""
        beat = self._beat
        if self._reported is not None and self._reported[0] != beat:
            since, _, plugin = self._reported
            self._reported = None
            _log.warning("event_loop_resumed", plugin=plugin, seconds=round(beat - since - self._period, 3))
        late = self._monotonic() - beat - self._period
        if late <= (self._threshold if self._reported is None else 2 * self._reported[1]):
            return
        frame, task = sys._current_frames().get(thread), asyncio.current_task(loop)
        if frame is None or (task is None and _module(frame).partition(".")[0] in _LOOPS):
            return  # it waits for work: the whole process was stopped and has just resumed
        plugin = self._owner(frame) or _plugin_of(task) or self._named(task) or self._process
        self._reported = beat, late, plugin
        _log.warning(
            "event_loop_blocked",
            plugin=plugin,
            seconds=round(late, 3),
            task="" if task is None else task.get_name(),
            frames=_shown(frame),
        )

    def _named(self, task: asyncio.Task[object] | None) -> str | None:
        """Return the plugin in a task's name, `pass of mail.deliver` or `probe mail.relay`, if it is one of ours."""
        plugin = "" if task is None else task.get_name().rpartition(" ")[2].partition(".")[0]
        return plugin if plugin in self._packages.values() else None

    def _owner(self, frame: FrameType | None) -> str | None:
        """Return the plugin of the innermost frame that belongs to one."""
        while frame is not None:
            package = _module(frame)
            while package:
                if package in self._packages:
                    return self._packages[package]
                package = package.rpartition(".")[0]
            frame = frame.f_back
        return None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _plugin_of(task: asyncio.Task[object] | None) -> str | None:
    """Return the plugin for which a task runs, if another thread can see it."""
    get_context: Callable[[], Mapping[Any, Any]] | None = getattr(task, "get_context", None)
    context = None if get_context is None else get_context().get(current_request)
    return None if context is None else context.plugin


def _shown(frame: FrameType | None) -> list[str]:
    """Return where the code is, innermost first."""
    shown: list[str] = []
    while frame is not None and len(shown) < _FRAMES:
        shown.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return shown
