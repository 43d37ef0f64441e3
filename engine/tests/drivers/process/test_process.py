"""What is the driver `process`'s alone: lives tied to the backend's, sessions, records, output."""

import asyncio
import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hosts import ProcessHost, a_spec, ended, variables, written

from galaxy_engine.drivers.driver import EngineDriver, EngineSpec, Limits, Observed
from galaxy_engine.drivers.process import ProcessDriver, procfs, spawning
from galaxy_engine.drivers.process.records import Records
from galaxy_engine.drivers.process.spawning import CHUNK, LOG_BYTES
from galaxy_engine.failures import ConfigInvalid, HostUnreachable, ImageNotFound, StartFailed

AT_ONCE = timedelta(0)


@pytest.fixture
def host(tmp_path: Path) -> ProcessHost:
    return ProcessHost(tmp_path)


@pytest.fixture
async def driver(host: ProcessHost) -> AsyncIterator[ProcessDriver]:
    driver = host.driver()
    yield driver
    for engine in await driver.observe():
        await driver.remove(engine.handle, AT_ONCE)


BACKEND = """
import asyncio, pathlib, sys
from uuid import UUID
from galaxy_engine.drivers.driver import EngineId, EngineSpec
from galaxy_engine.drivers.process import ProcessDriver

async def main():
    folder, owner, game, image, do = sys.argv[1:]
    driver = ProcessDriver(owner, pathlib.Path(folder))
    engine = await driver.launch(EngineSpec(EngineId(owner, UUID(game), 1), image, {"DO": do}))
    print(engine.handle, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@asynccontextmanager
async def a_backend(host: ProcessHost, spec: EngineSpec) -> AsyncIterator[str]:
    """Start another backend, which launches the engine whose handle is the value; kill it at the end of the block."""
    backend = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BACKEND, host.folder, host.owner, str(spec.id.game_id), spec.image,
        spec.environment["DO"], stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert backend.stdout is not None
        yield (await backend.stdout.readline()).decode().strip()
    finally:
        if backend.returncode is None:
            backend.kill()
        await backend.wait()


async def gone(handle: str) -> None:
    """Wait until there is no such process, not even a zombie."""
    pid, _, start = handle.partition(":")
    while (found := procfs.stat(int(pid))) is not None and found.start == int(start):
        await asyncio.sleep(0.02)


async def test_engine_dies_with_its_backend(driver: ProcessDriver, host: ProcessHost) -> None:
    """After kill -9 of the backend its engines are gone, and other backends see them as ended."""
    spec = a_spec(host, DO="stubborn")
    async with a_backend(host, spec) as handle:
        [seen] = await driver.observe()
        assert (seen.handle, seen.state) == (handle, "running"), "one backend sees another's engine"
    await gone(handle)
    [seen] = await driver.observe()
    assert (seen.handle, seen.state, seen.exit_code) == (handle, "ended", None)
    assert seen.detail == "ended with the process that started it"
    assert await driver.launch(spec) == seen, "a generation is started once"


async def test_exit_is_known_to_other_backends(driver: ProcessDriver, host: ProcessHost) -> None:
    """How an engine ended is recorded by the backend that started it, for all, and outlives that backend."""
    async with a_backend(host, a_spec(host, DO="exit")) as handle:
        while not (seen := (await driver.observe())[0]).detail.startswith("ended with status"):
            await asyncio.sleep(0.02)
    assert (await driver.observe())[0] == seen
    assert (seen.handle, seen.exit_code) == (handle, 3)
    assert await driver.logs(handle, 100) == "leaving\n"


async def test_another_backends_engine_can_be_removed(driver: ProcessDriver, host: ProcessHost) -> None:
    """Removal needs not be by the backend that started it, and leaves nothing, not even after that one has reaped."""
    async with a_backend(host, a_spec(host, DO="wait")) as handle:
        await driver.remove(handle, AT_ONCE)
        await gone(handle)
        assert list(host.folder.iterdir()) == []


async def test_engine_outlives_the_thread_that_asked_for_it(driver: ProcessDriver, host: ProcessHost) -> None:
    """PR_SET_PDEATHSIG follows the forking thread: an engine launched by a loop in a thread stays when that ends."""
    launched: list[Observed] = []
    spec = a_spec(host)
    thread = threading.Thread(target=lambda: launched.append(asyncio.run(host.driver().launch(spec))))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert await driver.logs(launched[0].handle, 1) is not None
    await written(driver, launched[0], "up")
    assert (await driver.observe())[0].state == "running"


async def test_no_zombies(driver: ProcessDriver, host: ProcessHost) -> None:
    """Ended engines are reaped at once, removed or not."""
    engine = await driver.launch(a_spec(host, DO="exit"))
    await gone(engine.handle)
    assert (await driver.observe())[0].exit_code == 3


async def test_descendants_are_removed_too(driver: ProcessDriver, host: ProcessHost) -> None:
    """What an engine started ends with its removal."""
    engine = await driver.launch(a_spec(host, DO="nested"))
    child = int((await written(driver, engine, "\n")).split()[1])
    start = procfs.start_of_own(child)
    await driver.remove(engine.handle, timedelta(hours=1))
    assert not procfs.alive(child, start)


async def test_descendants_of_an_ended_engine(driver: ProcessDriver, host: ProcessHost) -> None:
    """An engine whose first process ended is `ended` though others of it live, and its removal ends those."""
    engine = await driver.launch(a_spec(host, DO="nested"))
    child = int((await written(driver, engine, "\n")).split()[1])
    start = procfs.start_of_own(child)
    await host.kill(engine)
    seen = await ended(driver, engine)
    assert seen.detail == "killed by SIGKILL; processes that it started live on"
    await driver.remove(engine.handle, timedelta(hours=1))
    assert not procfs.alive(child, start)
    assert await driver.observe() == []


@pytest.mark.parametrize("do", ["wait", "nested"])
async def test_engines_without_records_are_found(driver: ProcessDriver, host: ProcessHost, do: str) -> None:
    """When the runtime directory was cleared, /proc still knows the engine; it is neither doubled nor lost."""
    spec = a_spec(host, DO=do)
    engine = await driver.launch(spec)
    await written(driver, engine, "\n")
    for path in host.folder.iterdir():
        path.unlink()
    [seen] = await driver.observe()
    assert (seen.handle, seen.state, seen.address, seen.image) == (
        engine.handle, "running", engine.address, host.image,
    )  # fmt: skip
    assert (await driver.launch(spec)).handle == engine.handle
    if do == "nested":
        await host.kill(engine)
        await gone(engine.handle)
        [seen] = await driver.observe()
        assert (seen.state, seen.detail) == ("ended", "ended; processes that it started live on")
    await driver.remove(seen.handle, AT_ONCE)
    assert await driver.observe() == []
    assert list(host.folder.iterdir()) == []


async def test_records_of_an_earlier_boot(driver: ProcessDriver, host: ProcessHost) -> None:
    """After a boot pids begin again: what was recorded before it has ended, whoever has its number now."""
    engine = await driver.launch(a_spec(host))
    path = host.folder / engine.id.name
    entry = Records.read(path)
    assert entry is not None
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(entry.record, boot="earlier")) + b"\n")
    [seen] = await driver.observe()
    assert seen.state == "ended"
    pid = int(engine.handle.partition(":")[0])
    os.kill(pid, signal.SIGKILL)


async def test_launch_that_was_killed_midway(driver: ProcessDriver, host: ProcessHost) -> None:
    """An empty record, left by a backend that died between lock and fork, is taken over."""
    spec = a_spec(host)
    host.folder.mkdir(mode=0o700)
    (host.folder / spec.id.name).touch()
    assert await driver.observe() == []
    assert (await driver.launch(spec)).state == "running"


async def test_output_is_bounded(driver: ProcessDriver, host: ProcessHost) -> None:
    """An engine that writes without end is slowed, and its log stays within twice the limit."""
    engine = await driver.launch(a_spec(host, DO="shout"))
    log = host.folder / f"{engine.id.name}.log"
    largest = 0
    inode = log.stat().st_ino
    shrunk = False
    while not shrunk:
        size = log.stat().st_size
        shrunk = size < largest
        largest = max(size, largest)
        await asyncio.sleep(0.005)
    assert largest <= 2 * LOG_BYTES
    assert log.stat().st_ino == inode
    assert (await driver.logs(engine.handle, 71)).count("\n") == 1


def test_end_of_a_log_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two steps by which a log is shortened, its end is the end of what was written."""
    path, steps, ends = tmp_path / "log", [os.pwrite, os.ftruncate], list[bytes]()

    def looked_at(step: Any) -> Any:
        def run(*arguments: Any) -> Any:
            done = step(*arguments)
            ends.append(path.read_bytes()[-9:])
            return done

        return run

    log = os.open(path, os.O_RDWR | os.O_CREAT)
    for number in range(2 * LOG_BYTES // CHUNK):
        spawning.append(log, b"%065536d" % number)
    for step in steps:
        monkeypatch.setattr(os, step.__name__, looked_at(step))
    spawning.append(log, b"%065536d" % 99)
    os.close(log)
    assert ends == [b"000000031", b"000000031", b"000000099"]
    assert path.stat().st_size == LOG_BYTES + CHUNK


async def test_memory_is_limited(driver: ProcessDriver, host: ProcessHost, tmp_path: Path) -> None:
    """A process of an engine cannot have more memory than the limit."""
    image = tmp_path / "hungry"
    image.write_text(f"#!{sys.executable}\nx = bytearray(300 << 20)\n")
    image.chmod(0o755)
    spec = msgspec.structs.replace(a_spec(host, limits=Limits(memory=256 << 20)), image=str(image))
    engine = await ended(driver, await driver.launch(spec))
    assert engine.exit_code == 1
    assert "MemoryError" in await written(driver, engine, "Error")


async def test_not_executable(driver: ProcessDriver, host: ProcessHost, tmp_path: Path) -> None:
    """A file without permission to run it, a directory and an impossible path are not executables."""
    (tmp_path / "text").touch()
    for image in (str(tmp_path / "text"), str(tmp_path), "", "a\0b", "a" * 5000):
        with pytest.raises(ImageNotFound):
            await driver.prepare(image, "if_missing")
        with pytest.raises(ImageNotFound):
            await driver.launch(msgspec.structs.replace(a_spec(host), image=image))
    assert await driver.observe() == []
    assert list(host.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("contents", "failure", "detail"),
    [("\x7fELF rubbish", ConfigInvalid, "Exec format error"), ("#!/no/such\n", StartFailed, "No such file")],
)
async def test_cannot_be_run(
    driver: ProcessDriver, host: ProcessHost, tmp_path: Path, contents: str, failure: type[Exception], detail: str
) -> None:
    """An executable of another platform is `config_invalid`, one whose interpreter is missing `start_failed`."""
    image = tmp_path / "broken"
    image.write_text(contents)
    image.chmod(0o755)
    with pytest.raises(failure, match="broken") as caught:
        await driver.launch(msgspec.structs.replace(a_spec(host), image=str(image)))
    assert detail in caught.value.detail  # type: ignore[attr-defined]
    assert await driver.observe() == []
    assert list(host.folder.iterdir()) == []


async def test_relative_path(driver: ProcessDriver, host: ProcessHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is read from the backend's working directory."""
    monkeypatch.chdir(host.folder.parent)
    engine = await driver.launch(msgspec.structs.replace(a_spec(host), image="engine.sh"))
    assert engine.image == "engine.sh"
    await written(driver, engine, "up")


async def test_identity_stands_in_the_environment(driver: ProcessDriver, host: ProcessHost) -> None:
    """An engine carries owner, game and generation, and the port of its address."""
    engine = await driver.launch(a_spec(host, DO="variables"))
    seen = variables(await written(driver, engine, "PORT="))
    assert engine.address == f"127.0.0.1:{seen['PORT']}"
    assert seen["GALAXY_OWNER"] == host.owner
    assert seen["GALAXY_GAME"] == str(engine.id.game_id)
    assert seen["GALAXY_GENERATION"] == "1"


async def test_listening_on_the_loopback(driver: ProcessDriver, host: ProcessHost) -> None:
    """An engine is told to listen on the loopback alone, unless its own environment says otherwise."""
    for given, expected in (({}, "127.0.0.1"), ({"GALAXY_LISTEN_HOST": "0.0.0.0"}, "0.0.0.0")):
        engine = await driver.launch(a_spec(host, DO="variables", **given))
        assert variables(await written(driver, engine, "PORT="))["GALAXY_LISTEN_HOST"] == expected


async def test_zero_byte_in_a_variable(driver: ProcessDriver, host: ProcessHost) -> None:
    """What no environment can hold is `config_invalid`."""
    with pytest.raises(ConfigInvalid):
        await driver.launch(a_spec(host, NAME="a\0b"))


async def test_runtime_directory_of_others(tmp_path: Path) -> None:
    """A directory that others may write to is refused: they could make us kill what we like to keep."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigInvalid, match="other users"):
        await ProcessDriver("owner", folder).check()
    assert await ProcessDriver("owner", tmp_path / "new").check() is None  # type: ignore[func-returns-value]
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


async def test_runtime_directory_that_is_a_file(tmp_path: Path) -> None:
    """A path that cannot be a directory is `config_invalid`."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigInvalid, match="cannot be made"):
        await ProcessDriver("owner", tmp_path / "file").check()


async def test_without_proc(host: ProcessHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc nothing can be known, and nothing is concluded."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    driver: EngineDriver = host.driver()
    with pytest.raises(HostUnreachable):
        await driver.check()
    with pytest.raises(HostUnreachable):
        await driver.observe()
    with pytest.raises(HostUnreachable):
        await driver.launch(a_spec(host))


async def test_signals_and_descriptors_are_clean(driver: ProcessDriver, host: ProcessHost, tmp_path: Path) -> None:
    """An engine inherits no ignored signal and no descriptor but its output's."""
    image = tmp_path / "status"
    image.write_text("#!/bin/sh\ngrep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/$$/fd; echo fds; sleep 3600\n")
    image.chmod(0o755)
    engine = await driver.launch(msgspec.structs.replace(a_spec(host), image=str(image)))
    output = await written(driver, engine, "fds")
    assert "SigBlk:\t0000000000000000" in output
    assert re.search(r"SigIgn:\t0{7}[01]80000000\n", output), "32 and 33 are the C library's own"
    assert "\n0\n1\n10\n2\nfds\n" in output, "10 is the script"


async def test_engine_whose_launch_is_not_done(driver: ProcessDriver, host: ProcessHost) -> None:
    """While the record is empty the process may still be on its way to its executable: `starting`, without address."""
    engine = await driver.launch(a_spec(host))
    os.truncate(host.folder / engine.id.name, 0)
    [seen] = await driver.observe()
    assert (seen.handle, seen.state, seen.address) == (engine.handle, "starting", None)
    (host.folder / engine.id.name).unlink()


async def test_without_pidfd(driver: ProcessDriver, host: ProcessHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without pidfd are served too: endings are polled for, and signals follow a look at the start time."""

    def missing(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing)
    engine = await ended(driver, await driver.launch(a_spec(host, DO="exit")))
    assert engine.exit_code == 3
    await driver.remove((await driver.launch(a_spec(host))).handle, timedelta(hours=1))


async def test_full_disk(driver: ProcessDriver, host: ProcessHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing can be written any more, output is lost and the thread that engines depend on is not."""

    def full(log: int, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spawning, "append", full)
    lost = await ended(driver, await driver.launch(a_spec(host, DO="exit")))
    assert (lost.exit_code, await driver.logs(lost.handle, 100)) == (3, "")
    monkeypatch.undo()
    engine = await driver.launch(a_spec(host, DO="exit"))
    assert await written(driver, engine, "leaving") == "leaving\n"


async def test_defect_in_the_thread(
    driver: ProcessDriver, host: ProcessHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect is shown and does not end the thread, which would end every engine."""
    engine = await driver.launch(a_spec(host))

    def broken() -> None:
        raise RuntimeError("a defect")

    unsubscribe = spawning.spawner().subscribe(broken)
    await ended(driver, await driver.launch(a_spec(host, DO="exit")))
    while "a defect" not in capsys.readouterr().err:
        await asyncio.sleep(0.02)
    unsubscribe()
    assert engine in await driver.observe()
    assert (await driver.launch(a_spec(host))).state == "running"
