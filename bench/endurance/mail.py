"""S-9: mails requested by the API, while the backend and Postgres are killed and the relay injects faults.

People ask for sign-in codes, each at an address of their own; what was answered 202 is acknowledged. Operations are
acknowledgements, mails begun at the relay, and mails whose last byte the relay has and has not yet answered: at those
the seed's faults happen, a SIGKILL of the backend or a SIGQUIT of Postgres (its immediate shutdown), at once and in the
middle of other work. Requests keep pace with the faults, so that there is always work to be lost.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.endurance.backend import Backend
from bench.endurance.ledger import Ledger, let_time_pass, queued, read_ledger
from bench.endurance.relay import Relay
from bench.endurance.schedule import Schedule, draw
from bench.endurance.verdict import Verdict
from galaxy_devkit.postgres.server import EmbeddedPostgres

SEND = "/api/v1/public/auth/send-email-code"
PEOPLE = 8
"""Concurrent callers."""
OPERATIONS_PER_MAIL = 2
"""Operations over which the faults are spread, of at least three a mail, so that each fault becomes due."""
AHEAD = 3
"""Faults by which the requests may be ahead of those done."""
_POLL = 0.1
"""Seconds between two checks whether all is sent."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    mails: int
    kills: int
    restarts: int
    within: float
    """Seconds after the last fault until all must be sent: a lease of 75 s, and the back-off of the unlucky."""
    patient: bool
    """Whether leases and back-offs take their time; otherwise it passes while the backend is down."""
    timeout: str
    """The backend's timeout for the relay."""


FULL = Size(mails=1_000, kills=50, restarts=5, within=300.0, patient=True, timeout="2s")
SHORT = Size(mails=30, kills=2, restarts=1, within=30.0, patient=False, timeout="500ms")


async def run(*, seed: int, short: bool) -> Verdict:
    """Queue 1,000 mails across 50 kills and 5 restarts; 30 across 2 and 1 when short."""
    size = SHORT if short else FULL
    with tempfile.TemporaryDirectory(prefix="galaxy-endurance-") as folder:
        settings = {"synchronous_commit": "on"}
        async with EmbeddedPostgres(Path(folder) / "postgres", settings=settings, durable=not short) as server:
            running = _Scenario(server, size, seed)
            async with running.up():
                await running.run()
            return running.verdict(await read_ledger(running.dsn))


def _environment(size: Size, relay: int) -> dict[str, str]:
    """Return the backend's settings, with the relay at this port."""
    return {
        "BACKEND_AUTH_CODE_TTL": "1h",
        "BACKEND_AUTH_CODES_PER_IP_PER_HOUR": "1000000",
        "BACKEND_MAIL_MAX_ATTEMPTS": "100",  # no mail should be dead-lettered by chance
        "BACKEND_MAIL_WORKER_INTERVAL": "500ms",
        "BACKEND_SMTP_HOST": "127.0.0.1",
        "BACKEND_SMTP_PORT": str(relay),
        "BACKEND_SMTP_TIMEOUT": size.timeout,
        "BACKEND_SMTP_TLS_MODE": "none",
    }


class _Scenario:
    def __init__(self, server: EmbeddedPostgres, size: Size, seed: int) -> None:
        self.size, self.seed, self._server = size, seed, server
        faults = draw(
            random.Random(seed),
            OPERATIONS_PER_MAIL * size.mails,
            **{"backend killed": size.kills, "Postgres shut down": size.restarts},
        )
        self.schedule = Schedule(faults)
        self.relay = Relay(seed, self._operation)
        self.dsn = server.dsn("postgres", search_path="backend")
        self.acknowledged: set[str] = set()
        self.asked = 0
        self.converged_in = float("inf")
        self._backend = Backend(self.dsn, _environment(size, self.relay.port))
        self._struck, self._go_on = asyncio.Event(), asyncio.Event()
        self._last_fault = 0.0

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Run relay and backend within the context."""
        async with self.relay.serving():
            try:
                await self._backend.start()
                yield
            finally:
                with contextlib.suppress(ProcessLookupError):
                    self._backend.kill()
                await self._backend.ended()

    async def run(self) -> None:
        """Request mails and inject faults until every fault is done, then wait until everything is sent."""
        self._last_fault = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            mending = tasks.create_task(self._mend_all())
            for _ in range(PEOPLE):
                tasks.create_task(self._ask_on())
        assert mending.done()
        self.relay.kind = True
        if not self.size.patient:
            await self._rest_in_between()
        await self._converge()

    def _operation(self) -> None:
        """Inject a fault, if one is due."""
        fault = self.schedule.count()
        if fault is None:
            return
        if fault.kind == "backend killed":
            self._backend.kill()
        elif (pid := self._server.pid) is not None:
            os.kill(pid, signal.SIGQUIT)
        self._struck.set()

    async def _mend_all(self) -> None:
        while not self.schedule.over:
            await self._struck.wait()
            self._struck.clear()
            fault = self.schedule.in_hand
            assert fault is not None
            if fault.kind == "backend killed":
                await self._backend.ended()
                await self._backend.start()
            else:
                await self._server.stop("immediate")
                await self._server.start()
            self._last_fault = time.monotonic()
            self.schedule.mended()
            self._go_on.set()
            done, number = self.schedule.done, len(self.schedule.faults)
            print(f"\r  fault {done} of {number} ", end="" if done < number else "\n", file=sys.stderr, flush=True)

    async def _ask_on(self) -> None:
        """Request one mail after the other, as long as faults are due."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as client:
            while len(self.acknowledged) < self.size.mails:
                asked = self._may_ask() and await self._ask(client)
                if not self._may_ask():
                    self._go_on.clear()
                    await self._go_on.wait()
                elif not asked:
                    await asyncio.sleep(_POLL)

    def _may_ask(self) -> bool:
        """Whether nothing is down, and the requests are not too far ahead of the faults."""
        share = (self.schedule.done + AHEAD) / len(self.schedule.faults)
        behind = self.schedule.over or len(self.acknowledged) < share * self.size.mails
        return behind and self.schedule.in_hand is None

    async def _ask(self, client: aiohttp.ClientSession) -> bool:
        """Request a code for a new address; an answer other than 202 promises nothing."""
        self.asked += 1
        address = f"p{self.asked}@example.test"
        try:
            async with client.post(self._backend.url + SEND, json={"email": address}) as response:
                if response.status != 202:
                    return False
        except (aiohttp.ClientError, TimeoutError):
            return False
        self.acknowledged.add(address)
        self._operation()
        return True

    async def _rest_in_between(self) -> None:
        """Stop, let the leases and back-offs of the past run out, and start again."""
        await self._backend.stop()
        await let_time_pass(self.dsn)
        await self._backend.start()
        self._last_fault = time.monotonic()

    async def _converge(self) -> None:
        deadline = self._last_fault + self.size.within
        while time.monotonic() < deadline:
            if not await queued(self.dsn):
                break
            await asyncio.sleep(_POLL)
        self.converged_in = time.monotonic() - self._last_fault

    def verdict(self, ledger: Ledger) -> Verdict:
        """Compare what the relay received with what was acknowledged and with the database."""
        arrived = self.relay.arrived
        faults = [fault.kind for fault in self.schedule.faults]
        return Verdict(
            id="S-9",
            scenario="mail",
            seed=self.seed,
            operations=len(self.acknowledged),
            kills={kind: faults.count(kind) for kind in dict.fromkeys(sorted(faults, reverse=True))},
            lost=len(self.acknowledged - arrived.keys()),
            duplicated=sum(len(each.contents) - 1 for each in arrived.values()),
            converged_in=self.converged_in,
            within=self.size.within,
            broken=ledger.against(self.acknowledged, arrived),
            notes={
                "requested": self.asked,
                "attempts": sum(entry.attempts for entry in ledger.entries),
                "attempts lost": sum(entry.outcomes.count("lost") for entry in ledger.entries),
                **{f"relay: {fault}": number for fault, number in sorted(self.relay.met.items())},
            },
        )
