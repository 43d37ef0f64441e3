"""`backend dev` as a process: what it says, and how it ends."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from galaxy_devkit.dev import run
from galaxy_devkit.postgres.server import available

PROGRAM = Path(__file__).with_name("dev_program.py")
needs_postgres = pytest.mark.skipif(available() is not None, reason=str(available()))
Start = Callable[..., Any]


class Running:
    """A process and its output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def until(self, words: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while words not in self.said:
                line = await self.process.stdout.readline()
                assert line, self.said
                self.said += line.decode()

    async def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            self.said += (await self.process.stdout.read()).decode()
            return await self.process.wait()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start the program of dev_program.py on `tmp_path/data`."""
    started: list[asyncio.subprocess.Process] = []

    async def start(behaviour: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), str(tmp_path / "data"), behaviour, *arguments),
            env={"PATH": os.environ["PATH"], **(environment or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        started.append(process)
        return Running(process)

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def no_server_left(data: Path) -> None:
    """Wait until nobody holds the lock that every process of the embedded Postgres has inherited."""
    import fcntl

    lock = os.open(data / "postgres" / "lock", os.O_RDWR)
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(BlockingIOError):
                    return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                await asyncio.sleep(0.02)
    finally:
        os.close(lock)


@needs_postgres
async def test_starts_and_stops(start: Start, tmp_path: Path) -> None:
    """It prints the addresses and what to try, keeps the user's settings, and Ctrl-C ends it with status 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        dev = await start("plain", str(port), environment={"BACKEND_HTTP_LISTEN_ADDR": "127.0.0.2:0"})
        await dev.until("Light it:")
        await dev.until("curl ")
    assert f"Port {port} is taken: lamp (light) is on " in dev.said
    assert f"folder {tmp_path / 'data' / 'lamp'}\n" in dev.said
    assert "API       http://127.0.0.2:" in dev.said
    assert "place unknown\n" in dev.said  # the user's port 0 is not known before it listens
    assert "\033" not in dev.said  # it is not a terminal
    assert await dev.end(signal.SIGINT) == 0
    assert "Never shown" not in dev.said
    assert "Traceback" not in dev.said
    await no_server_left(tmp_path / "data")


def postgres_port(said: str) -> str:
    """Return the port of Postgres in what was printed."""
    found = re.search(r"psql -h 127\.0\.0\.1 -p (\d+)", said)
    assert found is not None, said
    return found[1]


@needs_postgres
async def test_postgres_keeps_its_port(start: Start, tmp_path: Path) -> None:
    """What connects to it finds it again at the next start; a port that is taken is replaced, and that is printed."""
    ports = []
    for _ in range(2):
        dev = await start("plain")
        await dev.until("Database ")
        assert await dev.end(signal.SIGINT) == 0
        ports.append(postgres_port(dev.said))
        await no_server_left(tmp_path / "data")
    assert ports[0] == ports[1]
    with socket.create_server(("127.0.0.1", int(ports[0]))):
        dev = await start("plain")
        await dev.until("Light it:")
        assert await dev.end(signal.SIGINT) == 0
    assert postgres_port(dev.said) != ports[0]
    assert f"Port {ports[0]} is taken: Postgres is on " in dev.said


@pytest.mark.parametrize(
    ("accounts", "shown"),
    [
        ([SimpleNamespace(must_rotate=True)], "admin / first (until its first change"),
        ([SimpleNamespace(must_rotate=False)], "admin / the password that you have set"),
        ([None], "admin / the password that you have set"),
        ([], "admin / first (until its first change"),
    ],
)
def test_a_first_password_is_shown_as_long_as_it_works(accounts: list[Any], shown: str) -> None:
    """Once it is changed, or its account gone, the banner says so; without the plugin nobody can tell."""
    caches = [SimpleNamespace(get={"admin": account}.get) for account in accounts]
    plugins = SimpleNamespace(call=lambda hook, only: iter([(only, caches)] if caches else []))
    assembly: Any = SimpleNamespace(plugins=plugins)
    assert run._operator("first", changed=run._has_changed_password(assembly)).startswith(shown)


@needs_postgres
@pytest.mark.parametrize("set_by_user", [False, True])
async def test_plugins_are_told_of_the_address(start: Start, set_by_user: bool) -> None:
    """A manifest's variable has the API's URL in it, unless the user has set it."""
    dev = await start("plain", environment={"BACKEND_LAMP_PLACE": "here"} if set_by_user else None)
    await dev.until("is ready")
    await dev.until("API  ")
    api = re.search(r"API +(http://127\.0\.0\.1:\d+)", dev.said)
    assert api is not None
    assert f"place {'here' if set_by_user else f'{api[1]}/lamp'}\n" in dev.said
    headers = {"Accept": "text/html"}
    async with aiohttp.ClientSession() as session, session.get(api[1], headers=headers) as response:
        assert re.search(r'href="http://127\.0\.0\.1:\d+">Lamp</a>', await response.text()), "its page is linked at /"
    assert await dev.end(signal.SIGINT) == 0


@needs_postgres
async def test_second_ctrl_c_stops_at_once(start: Start, tmp_path: Path) -> None:
    """While something hangs during the stop, another Ctrl-C ends the process, and Postgres with it."""
    dev = await start("stuck at stop")
    await dev.until("is ready")
    dev.process.send_signal(signal.SIGINT)
    await dev.until("stuck at stop")
    assert await dev.end(signal.SIGINT) == 1
    await no_server_left(tmp_path / "data")


@needs_postgres
async def test_ctrl_c_before_it_is_ready(start: Start, tmp_path: Path) -> None:
    """A start is undone by Ctrl-C without a traceback."""
    dev = await start("stuck at start")
    await dev.until("stuck at start")
    assert await dev.end(signal.SIGINT) == 0
    assert "Traceback" not in dev.said
    await no_server_left(tmp_path / "data")


@needs_postgres
@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("needs more", "plugin 'lamp': its companion 'lamp' for `backend dev` cannot be imported"),
        ("breaks", "plugin 'lamp' failed in its companion 'lamp' for `backend dev`: RuntimeError: out of order"),
    ],
)
async def test_companion_that_fails(start: Start, tmp_path: Path, behaviour: str, sentence: str) -> None:
    """A companion that cannot start is named with its plugin, and what was started before it ends."""
    dev = await start(behaviour)
    assert await dev.end() == 1
    assert sentence in dev.said
    assert "Traceback" not in dev.said
    assert ("pip install '" in dev.said) == (behaviour == "needs more")
    await no_server_left(tmp_path / "data")


async def test_faulty_settings_are_told_first(start: Start, tmp_path: Path) -> None:
    """Faulty settings end it with 78 before anything is started."""
    dev = await start("plain", environment={"BACKEND_LOG_LEVEL": "loud"})
    assert await dev.end() == 78
    assert "BACKEND_LOG_LEVEL" in dev.said
    assert not (tmp_path / "data" / "postgres").exists()
