"""S-17: orders a second over HTTP: each answer follows the engine's verdict and the commit of the set.

Ours is `PUT /api/v1/user/games/{id}/orders` with the session's account, the seat found in memory, the verdict of an
engine that is a double in the server's process, the statement that stores the set while its turn takes orders, and
COMMIT. The rival is aiohttp on uvloop with one route that reads the same body and has asyncpg do a bare upsert of the
set's row. Sixteen connections send to sixteen games, one set at a time each.
"""

import asyncio
import json
import sys
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp import web

from bench import games, postgres
from bench.load import CONNECTIONS, Client, driven
from bench.process import alone, cpu_seconds, free_port, serving
from bench.rounds import Figure, Run, Values, interleave

PATH = "/api/v1/user/games/{}/orders"
_BODY = b'{"turn":0,"orders":' + games.ORDERS + b',"final":false}'
_UPSERT = """
    INSERT INTO runtime_orders AS o (game_id, epoch, turn, seat, orders, final, revision, account_id, request_id)
    VALUES ($1, 0, $2, 1, $3, $4, 1, $1, 'bare')
    ON CONFLICT (game_id, epoch, turn, seat) DO UPDATE SET orders = excluded.orders, final = excluded.final,
        revision = o.revision + 1, submitted_at = now()
    RETURNING revision
"""


async def measure(*, quick: bool) -> list[Figure]:
    """Load each for 5 s in each round, 1 s when quick."""
    seconds, rounds = (1.0, 2) if quick else (5.0, 5)
    async with postgres.migrated(*games.PLUGINS) as dsn:
        sides: dict[str, Run] = {
            "bare": partial(_round, dsn, "bench.orders:bare", seconds),
            "ours": partial(_round, dsn, "bench.orders:ours", seconds),
        }
        taken = await interleave(rounds, **sides)
    figure = partial(taken.figure, against="bare", named="bare aiohttp and upsert")
    return [
        figure("S-17", "orders sent over HTTP", "/s", "rate", goal=0.5),
        figure("-", "orders sent over HTTP, by server CPU", "/CPU s", "by_cpu"),
    ]


async def _round(dsn: str, function: str, seconds: float) -> Values:
    await games.fill(dsn, CONNECTIONS)
    port = free_port()
    command = (sys.executable, "-m", "bench.process", function, json.dumps({"dsn": dsn, "port": port}))
    async with serving(*command, port=port) as process:
        await alone("bench.orders:send", port=port, seconds=0.5)
        used = cpu_seconds(process.pid)
        given = await alone("bench.orders:send", port=port, seconds=seconds)
        used = cpu_seconds(process.pid) - used
    return {"rate": given["requests"] / given["seconds"], "by_cpu": given["requests"] / used}


async def send(port: int, seconds: float) -> dict[str, float]:
    """Send sets on every connection for some seconds; return how many were accepted, and in how many seconds."""
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(1, CONNECTIONS + 1):
        head = (
            f"PUT {PATH.format(games.game_id(number))} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {games.account_id(number, 1)}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(_BODY)}\r\n\r\n"
        )
        make = partial(Client, head.encode() + _BODY)
        clients.append((await loop.create_connection(make, "127.0.0.1", port))[1])
    return await driven(clients, seconds)


async def ours(dsn: str, port: int) -> None:
    """Serve until killed."""
    accounts = [games.account_id(number, 1) for number in range(1, CONNECTIONS + 1)]
    async with games.table(dsn, accounts=accounts, port=port):
        await asyncio.Event().wait()


async def bare(dsn: str, port: int) -> None:
    """Serve the upsert alone until killed."""
    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:

        async def put(request: web.Request) -> web.Response:
            body: dict[str, Any] = json.loads(await request.read())
            orders = json.dumps(body["orders"]).encode()
            game = UUID(request.match_info["game"])
            revision = await pool.fetchval(_UPSERT, game, body["turn"], orders, body["final"])
            answer = {"accepted": True, "turn": body["turn"], "revision": revision, "final": body["final"]}
            return web.json_response(answer)

        application = web.Application()
        application.router.add_put(PATH.format("{game}"), put)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()
