"""S-8: sixteen processes start at once on an empty database, and all become ready; twenty rounds.

Each round has a seventeenth, the victim: the process that has just applied the revision that the seed draws, and so
holds the lock of the migrations, is killed by SIGKILL. The other sixteen continue from there.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg

from bench.endurance.backend import Backend, BackendError, Line
from bench.endurance.verdict import Verdict, some
from galaxy_devkit.postgres.server import EmbeddedPostgres

EARLY_REVISIONS = 5
"""The victim dies at one of the first so many revisions: mail and auth with what they require have that many."""
WITHIN = 120.0
"""Seconds for all of a round to become ready; they compete for the processor."""
_ENVIRONMENT = {"BACKEND_POSTGRES_POOL_SIZE": "2"}


async def run(*, seed: int, short: bool) -> Verdict:
    """Run 20 rounds of 16 processes; one of 2 when short."""
    processes, number = (2, 1) if short else (16, 20)
    rounds: list[_Round] = []
    with tempfile.TemporaryDirectory(prefix="galaxy-endurance-") as folder:
        settings = {"max_connections": "300"}
        async with EmbeddedPostgres(Path(folder) / "postgres", settings=settings, durable=not short) as server:
            for place in range(number):
                rounds.append(_Round(server, f"round_{place}", random.Random(f"{seed}/{place}")))
                await rounds[-1].run(processes)
                print(f"  {rounds[-1]}", file=sys.stderr, flush=True)
    return Verdict(
        id="S-8",
        scenario="boot",
        seed=seed,
        operations=processes * number,
        kills={"process that migrates": sum(each.killed for each in rounds)},
        lost=processes * number - sum(each.ready for each in rounds),
        duplicated=sum(times - 1 for each in rounds for times in each.applied.values()),
        converged_in=max(each.took for each in rounds),
        within=WITHIN,
        broken=[f"{each.name}: {sentence}" for each in rounds for sentence in each.broken],
        notes={"processes a round": processes, "rounds": number},
    )


class _Round:
    """One empty database, and the processes that start on it."""

    def __init__(self, server: EmbeddedPostgres, name: str, source: random.Random) -> None:
        self.name = name
        self.ready = 0
        self.took = 0.0
        self.applied: Counter[str] = Counter()
        self.broken: list[str] = []
        self._server = server
        self._dies_at = source.randint(1, EARLY_REVISIONS)
        self._victim: Backend | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.ready} ready in {self.took:.1f} s, killed at revision {self._dies_at}"

    @property
    def killed(self) -> bool:
        """Whether there was a victim."""
        return self._victim is not None

    async def run(self, processes: int) -> None:
        """Start so many and one more, and observe them."""
        await _execute(self._server.dsn(), f"CREATE DATABASE {self.name}")
        dsn = self._server.dsn(self.name, search_path="backend")
        backends = [Backend(dsn, _ENVIRONMENT) for _ in range(processes + 1)]
        for each in backends:
            each.on_line = partial(self._heard, each)
        try:
            await self._start(backends)
        finally:
            statuses = await asyncio.gather(*(each.stop() for each in backends))
        survivors = [status for each, status in zip(backends, statuses, strict=True) if each is not self._victim]
        self.broken += some("exit status after SIGTERM", [status for status in survivors if status != 0])
        self.broken += some("revision applied twice", [name for name, times in self.applied.items() if times > 1])
        self.broken += await _branches(dsn)
        if not self.killed:
            self.broken.append(f"no process was killed: revision {self._dies_at} was never told of")
        await _execute(self._server.dsn(), f"DROP DATABASE {self.name} WITH (FORCE)")

    async def _start(self, backends: list[Backend]) -> None:
        started = time.monotonic()
        await asyncio.gather(*(each.spawn() for each in backends))
        outcomes = await asyncio.gather(*(each.ready() for each in backends), return_exceptions=True)
        self.took = time.monotonic() - started
        urls = []
        for each, outcome in zip(backends, outcomes, strict=True):
            if outcome is None:
                urls.append(each.url)
            elif not isinstance(outcome, BackendError):
                raise outcome
            elif each is not self._victim:
                self.broken.append(str(outcome))
        answers = await _readyz(urls)
        self.ready = answers.count("")
        self.broken += some("not ready by /readyz", [failed for failed in answers if failed])

    def _heard(self, backend: Backend, line: Line) -> None:
        revision, applied, _ = str(line.get("message", "")).partition(": applied in ")
        if not applied:
            return
        self.applied[revision] += 1
        if self._victim is None and len(self.applied) >= self._dies_at:
            self._victim = backend
            backend.kill()


async def _readyz(urls: list[str]) -> list[str]:
    """Return, for every process, the checks that are not ready."""
    async with aiohttp.ClientSession() as client:

        async def ask(url: str) -> str:
            async with client.get(f"{url}/readyz") as response:
                checks = (await response.json())["checks"]
                failed = [
                    f"{check['plugin']}.{check['name']}: {check}" for check in checks if check["state"] == "failed"
                ]
                return "" if response.status == 200 else ", ".join(failed) or str(response.status)

        return list(await asyncio.gather(*(ask(url) for url in urls)))


async def _branches(dsn: str) -> list[str]:
    """Return the branches of the schema that are not at exactly one revision."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE 'alembic_version_%'")
        stamps = {name: await connection.fetch(f"SELECT version_num FROM {name}") for (name,) in tables}
    finally:
        await connection.close()
    wrong = some("branch not at one revision", [name for name, rows in stamps.items() if len(rows) != 1])
    return wrong if stamps else ["no branch of the schema was applied"]


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
