"""The driver `process`: an engine is a child of the backend that dies with it. It isolates nothing."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from galaxy_engine.drivers.driver import EngineSpec, Observed, Prepared, PullPolicy
from galaxy_engine.drivers.output import clean
from galaxy_engine.drivers.process import procfs
from galaxy_engine.drivers.process.observing import observed, starting, unrecorded
from galaxy_engine.drivers.process.ports import ADDRESS, free_port
from galaxy_engine.drivers.process.records import Entry, Record, RecordFile, Records
from galaxy_engine.drivers.process.spawning import await_exec, spawner
from galaxy_engine.failures import ConfigInvalid, HostUnreachable, ImageNotFound, StartFailed

T = TypeVar("T")

WITHHELD = ("BACKEND_", "GATEWAY_", "PG", "OTEL_")
"""Variables of ours with these beginnings hold secrets or settings that are not an engine's."""
WATCH_INTERVAL = 0.5
"""Seconds between looks for engines that other processes have started or reaped."""
KILL_TIMEOUT = 10.0
"""Seconds within which killed processes must be gone."""
POLL = 0.02


class ProcessDriver:
    """Runs executables as children in sessions of their own, with a free port of 127.0.0.1 in `PORT`.

    `GALAXY_LISTEN_HOST` says 127.0.0.1 too: an engine that listens there is not reached from other machines.
    Backends of one machine that share `runtime_dir` see each other's engines; see `records`. Engines that the kernel
    killed with their backend stay there as ended, without an exit code. Memory is limited for each process of an
    engine; the other limits are not kept.
    """

    name = "process"

    def __init__(self, owner: str, runtime_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        """Describe the host without touching it. Engines get `environment`, by default that of this process."""
        self._owner = owner
        self._records = Records(runtime_dir, owner)
        self._environment = environment

    async def check(self) -> None:
        """Return if the runtime directory and /proc can be used."""
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        if not procfs.available():
            raise HostUnreachable("the driver process needs Linux's /proc")
        self._records.ensure_directory()

    async def prepare(self, image: str, policy: PullPolicy) -> Prepared:  # noqa: ARG002  there is nothing to pull
        """Return the executable's size. Raise `ImageNotFound` if there is no such executable."""
        path = await asyncio.to_thread(executable, image)
        return Prepared(image, size=path.stat().st_size)

    async def launch(self, spec: EngineSpec) -> Observed:
        """Start the executable, or return the engine that has this id, which may have ended.

        A launch that is cancelled is either not begun or done: the engine runs, and the next launch returns it.
        """
        if spec.id.owner != self._owner:
            raise ValueError(f"{spec.id} is not of the owner {self._owner}")
        await self.check()
        async with self._records.locked(spec.id) as file:
            return await _uninterrupted(asyncio.to_thread(self._launch, spec, file))

    def _launch(self, spec: EngineSpec, file: RecordFile) -> Observed:
        entry = file.entry(self._owner)
        if entry is not None:
            return observed(entry, procfs.boot_id())
        running = [process for process in procfs.engines(self._owner) if process.id == spec.id]
        if running:  # somebody removed its record
            file.unlink()
            return unrecorded(running)[0]
        try:
            return observed(Entry(self._start(spec, file), None), procfs.boot_id())
        except BaseException:
            file.unlink()
            raise

    def _start(self, spec: EngineSpec, file: RecordFile) -> Record:
        program = executable(spec.image)
        port = spec.port or free_port({entry.record.port for entry in self._records.entries()})
        variables, log = self._variables(spec, port), self._records.log(spec.id)
        try:
            child = spawner().spawn(str(program), variables, spec.limits.memory, log)
            await_exec(child)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                raise ConfigInvalid(f"{spec.image} is not an executable of this platform", str(error)) from error
            raise StartFailed(f"{spec.image} cannot be started", str(error)) from error
        except ValueError as error:  # a zero byte in a variable
            raise ConfigInvalid(f"{spec.image} cannot be started as configured", str(error)) from error
        now = datetime.now(UTC)
        record = Record(spec.id, spec.image, child.pid, child.start, port, procfs.boot_id(), now)
        spawner().keep_ending(child, file.write(record))
        return record

    def _variables(self, spec: EngineSpec, port: int) -> dict[str, str]:
        ours = os.environ if self._environment is None else self._environment
        inherited = {name: value for name, value in ours.items() if not name.startswith(WITHHELD)}
        identity = {
            "GALAXY_OWNER": spec.id.owner,
            "GALAXY_GAME": str(spec.id.game_id),
            "GALAXY_GENERATION": str(spec.id.generation),
            "GALAXY_IMAGE": spec.image,
            "PORT": str(port),
        }
        return {**inherited, "GALAXY_LISTEN_HOST": ADDRESS, **spec.environment, **identity}

    async def remove(self, handle: str, grace: timedelta) -> None:
        """End every process of the engine, by SIGTERM and after `grace` by SIGKILL; remove its record and output."""
        found = [seen for seen in await self.observe() if seen.handle == handle]
        if not found:
            return
        await self._end(found[0], grace)
        async with self._records.locked(found[0].id) as file:
            entry = file.entry(self._owner)
            if entry is None or entry.record.handle == handle:
                file.unlink()

    async def _end(self, engine: Observed, grace: timedelta) -> None:
        loop = asyncio.get_running_loop()
        kill_at = loop.time() + grace.total_seconds()
        asked: set[tuple[int, int]] = set()
        while members := await asyncio.to_thread(self._members, engine):
            late = loop.time() - kill_at
            if late > KILL_TIMEOUT:
                raise HostUnreachable(f"the engine {engine.handle} does not end", f"alive: {members}")
            for member in members if late >= 0 else members - asked:
                procfs.send(*member, signal.SIGKILL if late >= 0 else signal.SIGTERM)
            asked |= members
            await asyncio.sleep(POLL)

    def _members(self, engine: Observed) -> set[tuple[int, int]]:
        """Return pid and start of the engine's living processes: by identity, and by session while its first lives."""
        processes = procfs.engines(self._owner)
        found = {(process.pid, process.start) for process in processes if process.id == engine.id}
        pid, _, start = engine.handle.partition(":")
        if engine.state == "running" and procfs.alive(int(pid), int(start)):
            found |= procfs.session(int(pid))
        return found

    async def observe(self, game_id: UUID | None = None) -> Sequence[Observed]:
        """Return every engine of this owner (of one game): those recorded, and those that only /proc knows."""
        found = await asyncio.to_thread(self._observe)
        return [seen for seen in found if game_id is None or seen.id.game_id == game_id]

    def _observe(self) -> list[Observed]:
        if not procfs.available():
            raise HostUnreachable("the driver process needs Linux's /proc")
        boot = procfs.boot_id()
        processes = procfs.engines(self._owner)  # before the records: what starts meanwhile has one
        living = {process.id for process in processes}
        entries = self._records.entries()
        known = {entry.record.id for entry in entries}
        others = unrecorded([process for process in processes if process.id not in known])
        return [observed(entry, boot, leftovers=entry.record.id in living) for entry in entries] + [
            starting(seen) if self._records.launching(seen.id) else seen for seen in others
        ]

    async def watch(self) -> AsyncIterator[UUID]:
        """Yield the games of engines that come, end or go: those of this process at once, others' within a second."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(changed.set)

        unsubscribe = spawner().subscribe(wake)
        try:
            before = await asyncio.to_thread(self._states)
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), WATCH_INTERVAL)
                changed.clear()
                now = await asyncio.to_thread(self._states)
                for game in {game for game, _, _ in before ^ now}:
                    yield game
                before = now
        finally:
            unsubscribe()

    def _states(self) -> set[tuple[UUID, str, str]]:
        boot = procfs.boot_id()
        seen = (observed(entry, boot) for entry in self._records.entries())
        return {(engine.id.game_id, engine.handle, f"{engine.state} {engine.exit_code}") for engine in seen}

    async def logs(self, handle: str, tail: int) -> str:
        """Return the last `tail` bytes of what the engine wrote to stdout and stderr, of the last megabyte."""
        for seen in await self.observe():
            if seen.handle == handle:
                return clean(await asyncio.to_thread(_end_of, self._records.log(seen.id), tail + 1), tail)
        return ""

    async def close(self) -> None:
        """Return: there is no connection. Engines go on as long as this process does."""


def executable(image: str) -> Path:
    """Return the path of the executable. Raise `ImageNotFound` if it is not one."""
    path = Path(image)
    try:
        exists, runs = path.is_file(), os.access(path, os.X_OK)
    except (OSError, ValueError) as error:
        raise ImageNotFound(f"there is no executable {image!r}", str(error)) from error
    if not exists:
        raise ImageNotFound(f"there is no executable {image!r}")
    if not runs:
        raise ImageNotFound(f"{image!r} is not executable", "its mode does not allow this user to run it")
    return path.absolute()


def _end_of(path: Path, size: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            while length := os.fstat(file.fileno()).st_size:
                file.seek(max(0, length - size))
                if found := file.read(size):
                    return found  # else it was shortened in between
    except FileNotFoundError:
        pass
    return b""


async def _uninterrupted(work: Awaitable[T]) -> T:
    """Wait for the work to its end even when cancelled: it uses what the caller would close."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise
