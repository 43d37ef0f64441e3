"""Signals of a process, and background tasks that run as long as it does."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from galaxy_chassis.logs import flush, get_logger

_log = get_logger("galaxy_chassis.process")


def handle_stop_signals(stop: asyncio.Event, interrupt: Callable[[], None]) -> None:
    """Set `stop` and call `interrupt` at SIGTERM or SIGINT; once `stop` is set, another one ends the process at once.

    For the running loop; a later call replaces the handlers.
    """

    def on_signal() -> None:
        if stop.is_set():
            flush()
            os._exit(1)
        stop.set()
        interrupt()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


class BackgroundTasks:
    """Endless tasks of a process. Should one end by itself, the process cannot go on: `on_crash` is called."""

    def __init__(self, on_crash: Callable[[], None]) -> None:
        self._on_crash = on_crash
        self.crash: BaseException | None = None
        """The exception of the first task that ended by itself."""

    def start(self, stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` until `stack` is left."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)

        async def cancel() -> None:
            task.remove_done_callback(self._ended)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(cancel)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self.crash = self.crash or error or RuntimeError(f"task {task.get_name()!r} ended")
        _log.critical("background_task_ended", task=task.get_name(), exc_info=error)
        self._on_crash()
