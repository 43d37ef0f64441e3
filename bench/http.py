"""S-5: an authenticated `GET /api/v1/user/account`, served from the cache by the whole stack.

Ours is `backend serve` with whatever is installed, its access lines going to /dev/null: once with the default telemetry
(OTLP, a tenth of the requests traced, to a collector that is not there) and once without any. The rival is aiohttp on
uvloop with one route, whose handler makes and serialises the same document: no authentication, log line or request id.

The load is wrk on 16 connections where it is installed; otherwise `bench.load`, a client of raw sockets in a process of
its own. That one can be slower than a bare aiohttp and then hides part of the difference, so the requests for each
second of the *server's* CPU are told as well: they do not depend on the client, nor on who else uses the machine.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from aiohttp import ClientSession, web

from bench import postgres
from bench.process import alone, cpu_seconds, free_port, serving
from bench.rounds import Figure, Run, Values, interleave
from galaxy_contracts.accounts import Account
from galaxy_user.routes import AccountView

PATH = "/api/v1/user/account"
CONNECTIONS = 16
ACCOUNT = UUID("00000000-0000-7000-8000-000000000001")
TOKEN = "gxs_" + "A" * 43
_FILL = (
    f"INSERT INTO accounts (id, email, email_folded, display_name, language, time_zone, created_at) VALUES "
    f"('{ACCOUNT}', 'player@example.test', 'player@example.test', 'Player', 'en', 'UTC', now())",
    f"INSERT INTO device_sessions VALUES ('{ACCOUNT}', '{ACCOUNT}', '\\x{hashlib.sha256(TOKEN.encode()).hexdigest()}', "
    f"'bench', now(), now(), now() + interval '1 day')",
)
_WRK_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_WRK_TOTAL = re.compile(r"(\d+) requests in")
_WRK_FAULTS = re.compile(r"Non-2xx|Socket errors")


async def measure(*, quick: bool) -> list[Figure]:
    """Load each for 8 s in each round, 2 s when quick."""
    seconds, rounds = (2.0, 2) if quick else (8.0, 5)
    async with postgres.migrated() as dsn:
        await postgres.run(dsn, *_FILL)
        sides: dict[str, Run] = {
            "bare aiohttp": partial(_bare_round, seconds),
            "ours": partial(_our_round, dsn, seconds, {}),
            "quiet": partial(_our_round, dsn, seconds, postgres.QUIET),
        }
        taken = await interleave(rounds, **sides)
    what, load = "authenticated GET", "wrk" if shutil.which("wrk") else "bench.load"
    rate = partial(taken.figure, "S-5", against="bare aiohttp", note=f"load: {load}")
    return [
        rate(what, "/s", "rate", goal=0.7),
        rate(f"{what}, no telemetry", "/s", "rate", ours="quiet"),
        rate(f"{what}, by server CPU", "/CPU s", "by_cpu"),
        rate(f"{what}, no telemetry, by server CPU", "/CPU s", "by_cpu", ours="quiet"),
    ]


async def _our_round(dsn: str, seconds: float, telemetry: Mapping[str, str]) -> Values:
    port = free_port()
    environment = {
        **postgres.EVERYTHING,
        "PATH": os.environ["PATH"],
        "BACKEND_POSTGRES_DSN": dsn,
        "BACKEND_HTTP_LISTEN_ADDR": f"127.0.0.1:{port}",
        "BACKEND_PUSH_LISTEN_ADDR": "127.0.0.1:0",
        **telemetry,
    }
    command = (sys.executable, "-m", "galaxy_kernel", "serve")
    async with serving(*command, environment=environment, port=port) as process:
        await _answers(port)
        return await _loaded(port, process.pid, seconds)


async def _bare_round(seconds: float) -> Values:
    port = free_port()
    command = (sys.executable, "-m", "bench.process", "bench.http:bare", json.dumps({"port": port}))
    async with serving(*command, port=port) as process:
        await _answers(port)
        return await _loaded(port, process.pid, seconds)


async def bare(port: int) -> None:
    """Serve the handler alone until killed."""
    account = Account(ACCOUNT, "player@example.test", "Player", "en", "UTC", None, datetime.now(UTC))
    serialise: Any = AccountView.__pydantic_serializer__.to_json

    async def show(_: web.Request) -> web.Response:
        view = AccountView(**{name: getattr(account, name) for name in AccountView.model_fields})
        return web.Response(body=serialise(view, by_alias=True), content_type="application/json")

    application = web.Application()
    application.router.add_get(PATH, show)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def _answers(port: int) -> None:
    """Wait until the route gives 200: the backend listens before it is ready."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with asyncio.timeout(60), ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client:
        while True:
            async with client.get(PATH) as response:
                if response.status == 200:
                    return
                if response.status != 503:
                    raise RuntimeError(f"GET {PATH} gives {response.status}: {await response.text()}")
            await asyncio.sleep(0.05)


async def _loaded(port: int, pid: int, seconds: float) -> Values:
    await _load(port, 0.5)
    used = cpu_seconds(pid)
    rate, requests = await _load(port, seconds)
    return {"rate": rate, "by_cpu": requests / (cpu_seconds(pid) - used)}


async def _load(port: int, seconds: float) -> tuple[float, float]:
    """Give the requests a second and how many there were."""
    wrk = shutil.which("wrk")
    if wrk is None:
        given = await alone("bench.load:hammer", port=port, path=PATH, token=TOKEN, n=CONNECTIONS, seconds=seconds)
        return given["requests"] / given["seconds"], given["requests"]
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-H", f"Authorization: Bearer {TOKEN}"),
        f"http://127.0.0.1:{port}{PATH}",
        stdout=asyncio.subprocess.PIPE,
    )
    told = (await process.communicate())[0].decode()
    rate, total = _WRK_RATE.search(told), _WRK_TOTAL.search(told)
    if rate is None or total is None or _WRK_FAULTS.search(told):
        raise RuntimeError(f"wrk failed after {time.perf_counter() - started:.1f} s: {told}")
    return float(rate[1]), float(total[1])
