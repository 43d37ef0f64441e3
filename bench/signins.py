"""Sign-ins from end to end: request a code, read it in the mail, confirm it.

The backend is `backend serve` with whatever is installed and a durable database; the players and the relay are one
process of ours. Every sign-in is the first of its address, so it makes an account and a session. Each player begins the
next one when signed in; the time of a sign-in runs from the first request to the second's answer, the mail's way
included. The throttle by client address is disabled, for all players share one.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from aiohttp import ClientSession

from bench import postgres
from bench.process import cpu_seconds
from bench.relay import relay
from bench.rounds import Figure, Values, interleave
from bench.serve import backend

PLAYERS = 16
"""Concurrent players."""
_PUBLIC = "/api/v1/public/auth"
_CODE = re.compile(rb"^ +(\d{4} ?\d{4})\r?$", re.MULTILINE)
_WARM = 3 * PLAYERS


async def measure(*, quick: bool) -> list[Figure]:
    """Sign 1,000 players in in each round, 300 when quick."""
    count, rounds = (300, 2) if quick else (1_000, 3)
    async with postgres.migrated() as dsn:
        taken = await interleave(rounds, ours=partial(_round, dsn, count))
    what = f"sign-in, {PLAYERS} players at once"
    return [
        taken.figure("-", what, "/s", "rate"),
        taken.figure("-", f"{what}, by server CPU", "/CPU s", "by_cpu"),
        taken.figure("-", f"{what}, p50", "ms", "p50"),
        taken.figure("-", f"{what}, p99", "ms", "p99"),
    ]


async def _round(dsn: str, count: int) -> Values:
    await postgres.run(
        dsn,
        "TRUNCATE accounts, auth_challenges, device_sessions, mail_deliveries, mail_attempts",
        "VACUUM ANALYZE",
        "CHECKPOINT",
    )
    box = _Mailbox()
    async with relay(box.took) as port:
        environment = {
            "BACKEND_SMTP_PORT": str(port),
            "BACKEND_SMTP_TLS_MODE": "none",
            "BACKEND_AUTH_CODES_PER_IP_PER_HOUR": "1000000",
        }
        async with backend(dsn, environment) as served, ClientSession(f"http://127.0.0.1:{served.port}") as client:
            await _sign_in_all(client, box, range(_WARM))
            used, started = cpu_seconds(served.pid), time.perf_counter()
            late = await _sign_in_all(client, box, range(_WARM, _WARM + count))
            took, used = time.perf_counter() - started, cpu_seconds(served.pid) - used
    hundredths = statistics.quantiles(late, n=100, method="inclusive")
    return {"rate": count / took, "by_cpu": count / used, "p50": hundredths[49], "p99": hundredths[98]}


class _Mailbox:
    """The session for all requests."""

    def __init__(self) -> None:
        self._codes: dict[str, asyncio.Future[str]] = {}

    def took(self, recipient: str, content: bytes, _: float) -> None:
        if code := _CODE.search(content):
            self._expected(recipient).set_result(code[1].decode().replace(" ", ""))

    async def code(self, address: str) -> str:
        """Wait for the code that is sent to an address."""
        async with asyncio.timeout(60):
            return await self._expected(address)

    def _expected(self, address: str) -> asyncio.Future[str]:
        return self._codes.setdefault(address, asyncio.get_running_loop().create_future())


async def _sign_in_all(client: ClientSession, box: _Mailbox, numbers: range) -> list[float]:
    """Sign so many in, and return how many milliseconds each took."""
    late: list[float] = []
    left = iter(numbers)
    await asyncio.gather(*(_play(client, box, left, late) for _ in range(PLAYERS)))
    return late


async def _play(client: ClientSession, box: _Mailbox, left: Iterator[int], late: list[float]) -> None:
    for number in left:
        address, started = f"p{number}@example.test", time.perf_counter()
        asked = await _post(client, "send-email-code", 202, email=address)
        code = await box.code(address)
        await _post(client, "confirm-email-code", 201, challenge_id=asked["challenge_id"], code=code)
        late.append(1000 * (time.perf_counter() - started))


async def _post(client: ClientSession, what: str, status: int, **body: Any) -> Any:
    async with client.post(f"{_PUBLIC}/{what}", json=body) as response:
        if response.status != status:
            raise RuntimeError(f"sign-ins: {what} gave {response.status}: {await response.text()}")
        return await response.json()
