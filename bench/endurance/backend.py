"""One real `backend serve` process, with whatever is installed."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from galaxy_devkit.testing.kernel import ENVIRONMENT

READY_WITHIN = 180.0
"""Seconds until a process counts as stuck: seventeen of them share the processor, and each takes seconds of it."""
PASSED_ON = ("PATH", "PYTHONPATH", "BACKEND_PLUGINS_DISABLED")
"""Variables of our own environment that a process inherits, to choose a checkout or a set of plugins for a run."""
Line = Mapping[str, Any]


class BackendError(Exception):
    """A process ended, or hung, before it was ready."""


class Backend:
    """States: stopped → `start` → running → `stop`, `kill` or its own death → stopped, and again."""

    def __init__(self, dsn: str, environment: Mapping[str, str]) -> None:
        """Describe the process."""
        self._environment = {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn, **environment}
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.lines: deque[Line] = deque(maxlen=200)
        """The last lines of the current process."""
        self.on_line: Callable[[Line], None] | None = None
        """Called with each line."""
        self.url = ""
        """Where it listens, once it was ready."""

    async def spawn(self) -> None:
        """Start a process."""
        self._ready.clear()
        self.lines.clear()
        ours = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galaxy_kernel", "serve"), env=ours | self._environment, stdout=PIPE
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def ready(self) -> None:
        """Wait until it reports that it is ready. Raise BackendError when it ends before, or is late."""
        waiting = asyncio.create_task(self._ready.wait())
        ends = [waiting, self._reading] if self._reading is not None else [waiting]
        await asyncio.wait(ends, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._ready.is_set():
            said = self.lines[-1] if self.lines else "nothing"
            raise BackendError(f"a backend process was not ready; its last lines: {said}")

    async def start(self) -> None:
        """Start a process, and wait until it is ready."""
        await self.spawn()
        await self.ready()

    def kill(self) -> None:
        """Send SIGKILL, now; `ended` waits for the end."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> int:
        """Wait for the end and for the last line; return the exit status, 0 if it never began."""
        if self._process is None or self._reading is None:
            return 0
        status = await self._process.wait()
        await self._reading
        return status

    async def stop(self) -> int:
        """Drain it, and return its exit status; a process that does not end in 30 s is killed."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(30):
                    return await self.ended()
            except TimeoutError:
                self.kill()
        return await self.ended()

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            try:
                line = json.loads(raw)
            except ValueError:  # cut off by the kill
                continue
            self.lines.append(line)
            if line["event"] == "service_started":
                self.url = f"http://{line['address']}"
                self._ready.set()
            if self.on_line is not None:
                self.on_line(line)
