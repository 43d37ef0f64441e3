"""S-5: an authenticated `GET /api/v1/user/account`, served from the cache by the whole stack.

Ours is `backend serve` with whatever is installed, its access lines going to /dev/null: once with the default telemetry
(OTLP, a tenth of the requests traced, to a collector that is not there) and once without any. The rival is aiohttp on
uvloop with one route, whose handler makes and serialises the same document: no authentication, log line or request id.

The load comes from `bench.load`. It shares the processor with the server, so the requests for each second of the
*server's* CPU are shown as well: they depend little on the client and on other load.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiohttp import web

from bench import postgres
from bench.load import loaded
from bench.process import free_port, serving
from bench.rounds import Figure, Run, Values, interleave
from bench.serve import ACCOUNT, SIGNED_IN, TOKEN, backend
from galaxy_contracts.accounts import Account
from galaxy_user.routes import AccountView

PATH = "/api/v1/user/account"


async def measure(*, quick: bool) -> list[Figure]:
    """Load each for 5 s in each round, 2 s when quick."""
    seconds, rounds = (2.0, 2) if quick else (5.0, 5)
    async with postgres.migrated() as dsn:
        await postgres.run(dsn, *SIGNED_IN)
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
    async with backend(dsn, telemetry) as served:
        return await loaded(served.port, served.pid, PATH, TOKEN, seconds)


async def _bare_round(seconds: float) -> Values:
    port = free_port()
    command = (sys.executable, "-m", "bench.process", "bench.http:bare", json.dumps({"port": port}))
    async with serving(*command, port=port) as process:
        return await loaded(port, process.pid, PATH, TOKEN, seconds)


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
