"""`backend dev` as a newcomer runs it: a process of its own, nothing set, its printed commands pasted into a shell."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

PROMPT = "Try it"


class Dev:
    """A running `backend dev`."""

    def __init__(self, process: asyncio.subprocess.Process, banner: str) -> None:
        self.process, self.banner = process, banner

    def commands(self) -> str:
        """Return the banner's commands."""
        lines = self.banner.partition(PROMPT)[2].splitlines()[1:]
        return "\n".join(line for line in lines if not re.match(r"\d\. ", line))

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()


@pytest.fixture
async def started() -> AsyncIterator[list[Dev]]:
    """Processes of a test: those still running at its end are killed."""
    processes: list[Dev] = []
    yield processes
    for each in processes:
        if each.process.returncode is None:
            await each.end(signal.SIGKILL)


async def start(data: Path, started: list[Dev]) -> Dev:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "galaxy_kernel", "dev", "--any-ports", "--data", str(data)),
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    started.append(Dev(process, ""))
    assert process.stdout is not None
    banner = ""
    async with asyncio.timeout(60):
        while "/turns/0/report" not in banner:
            line = await process.stdout.readline()
            assert line, banner
            banner += line.decode()
    started[-1].banner = banner
    return started[-1]


def servers(data: Path) -> list[str]:
    """Return the processes of the Postgres in this directory: each has its lock file open."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if b"postgres" in command and (entry / "cwd").readlink().is_relative_to(data):
                found.append(entry.name)
        except OSError:
            continue
    return found


async def gone(data: Path) -> None:
    async with asyncio.timeout(5):
        while servers(data):
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_newcomer_plays_and_the_next_start_goes_on(tmp_path: Path, started: list[Dev]) -> None:
    """The printed commands sign in and start a game; nothing is left after a kill; a second start reuses the data."""
    data = tmp_path / "galaxy"
    first = await start(data, started)
    assert servers(data)
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", first.commands()], capture_output=True, text=True, timeout=90, check=True
    )
    account = re.search(r'"id":"([0-9a-f-]{36})","email":"you@example.test"', done.stdout)
    assert "Turn 0 of 60" in done.stdout
    token = re.search(r'"session_token":"([^"]+)"', done.stderr)
    assert account is not None
    assert token is not None
    secret = (data / "secret_key").read_text()
    assert await first.end(signal.SIGINT) == 0
    await gone(data)

    second = await start(data, started)
    assert (data / "secret_key").read_text() == secret
    gateway = re.search(r"Gateway +(http://\S+)", second.banner)
    assert gateway is not None
    headers = {"Authorization": f"Bearer {token[1]}"}
    async with (
        aiohttp.ClientSession(gateway[1]) as client,
        client.get("/api/v1/user/account", headers=headers) as answer,
    ):
        assert (await answer.json())["id"] == account[1]
    assert await second.end(signal.SIGKILL) == -signal.SIGKILL
    await gone(data)


async def test_second_start_beside_the_first_is_refused(tmp_path: Path, started: list[Dev]) -> None:
    """A second one in the same directory is refused in one sentence."""
    data = tmp_path / "galaxy"
    first = await start(data, started)
    command = [sys.executable, "-m", "galaxy_kernel", "dev", "--any-ports", "--data", str(data)]
    environment = {"PATH": os.environ["PATH"]}
    second = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "Traceback" not in second.stderr
    assert await first.end(signal.SIGTERM) == 0
    await gone(data)
