"""Fresh processes: each run of a side begins in one of its own, with nothing warm but the server's caches.

`python -m bench.process MODULE:FUNCTION` awaits the function, with the arguments in the second argument as JSON, and
prints its result as the last line of stdout. Scripts in `bench/rival_scripts/` follow the same protocol, for they run
in an environment that has none of our packages.
"""

import asyncio
import importlib
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

TIMEOUT = 900.0
"""Seconds that one run may take."""
ROOT = Path(__file__).parent.parent


async def alone(function: str, /, **arguments: Any) -> Any:
    """Await one of our functions in a process of its own, and return its result."""
    return await _finished(sys.executable, "-m", "bench.process", function, json.dumps(arguments))


async def script(python: Path, path: Path, /, **arguments: Any) -> Any:
    """Run a rival's script with another Python, and return what it printed last."""
    return await _finished(str(python), str(path), json.dumps(arguments))


@asynccontextmanager
async def serving(*command: str, environment: Mapping[str, str] | None = None, port: int) -> AsyncIterator[Process]:
    """Run a server until the block ends, from when its port takes connections; its stdout goes nowhere."""
    env = dict(os.environ if environment is None else environment)
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stdout=DEVNULL)
    try:
        await listening(process, port)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def listening(process: Process, port: int) -> None:
    """Wait until a server takes connections. Raise RuntimeError when it ends before, TimeoutError after a minute."""
    async with asyncio.timeout(60):
        while not await _listens(port):
            if process.returncode is not None:
                raise RuntimeError(f"the server for port {port} ended with status {process.returncode}; see above")
            await asyncio.sleep(0.05)


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, on Linux (proc_pid_stat(5): fields 14 and 15); elsewhere NaN."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _finished(*command: str) -> Any:
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}; see above")
    return json.loads(output.splitlines()[-1])


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _main() -> None:
    import uvloop  # noqa: PLC0415 - the parent has chosen its loop already

    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # log lines are written as in production, and discarded
    given = uvloop.run(function(**json.loads(sys.argv[2])))
    os.write(answer, json.dumps(given).encode() + b"\n")


if __name__ == "__main__":
    _main()
