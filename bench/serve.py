"""A real `backend serve` process, with whatever is installed."""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from aiohttp import ClientSession

from bench import postgres
from bench.process import free_port, serving

TOKEN = "gxs_" + "A" * 43
ACCOUNT = UUID("00000000-0000-7000-8000-000000000001")
SIGNED_IN = (
    f"INSERT INTO accounts (id, email, email_folded, display_name, language, time_zone, created_at) VALUES "
    f"('{ACCOUNT}', 'player@example.test', 'player@example.test', 'Player', 'en', 'UTC', now())",
    f"INSERT INTO device_sessions VALUES ('{ACCOUNT}', '{ACCOUNT}', '\\x{hashlib.sha256(TOKEN.encode()).hexdigest()}', "
    f"'bench', now(), now(), now() + interval '1 day')",
)
"""Statements after which `TOKEN` opens the routes of `ACCOUNT`."""
READY_WITHIN = 120.0
"""Seconds until a process counts as stuck."""


@dataclass(frozen=True, slots=True)
class Served:
    """A process that is ready."""

    pid: int
    port: int
    took: float
    """Seconds from its start until `/readyz` answered 200."""

    @property
    def resident(self) -> float:
        """Megabytes of memory that it uses, on Linux (proc_pid_statm(5): the second field); elsewhere NaN."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        except FileNotFoundError:
            return float("nan")
        return pages * os.sysconf("SC_PAGESIZE") / 1e6


@asynccontextmanager
async def backend(dsn: str, environment: Mapping[str, str]) -> AsyncIterator[Served]:
    """Run one until the block ends, from when it is ready; its log goes to /dev/null."""
    port, started = free_port(), time.perf_counter()
    settings = {
        **postgres.EVERYTHING,
        "PATH": os.environ["PATH"],
        "BACKEND_POSTGRES_DSN": dsn,
        "BACKEND_HTTP_LISTEN_ADDR": f"127.0.0.1:{port}",
        "BACKEND_PUSH_LISTEN_ADDR": "127.0.0.1:0",
        **environment,
    }
    command = (sys.executable, "-m", "galaxy_kernel", "serve")
    async with serving(*command, environment=settings, port=port) as process:
        await _ready(port)
        yield Served(process.pid, port, time.perf_counter() - started)


async def _ready(port: int) -> None:
    async with asyncio.timeout(READY_WITHIN), ClientSession(f"http://127.0.0.1:{port}") as client:
        while True:
            async with client.get("/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.02)
