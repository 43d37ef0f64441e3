"""S-12 and S-16: turns a second on a null engine: 8 kB of state, four seats with orders, reports and notifications.

Ours is the worker of turns with lobby, runtime and notification as they are, woken once the turns are due; the engine
is a double in its process, or for one line an engine of a process of its own, over HTTP. The rivals write the same rows
with asyncpg alone (`bench/rival_scripts/bare_turn.py`): in sets of 32 on 4 connections, one turn a transaction on 16,
and as jobs of procrastinate, one for each turn, 16 at once. They claim nothing, renew nothing and fence nothing.

With one game a round is one turn: then nothing can be put into sets, and ours has two transactions to the rival's one.
S-16 is ten times as many games due at one instant, against ours with a tenth of them.
"""

import asyncio
import sys
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from bench import games, postgres
from bench.process import ROOT, alone, free_port, script, serving
from bench.rival_scripts import bare_turn
from bench.rivals import RivalsMissing, rivals_python
from bench.rounds import Figure, Run, Values, interleave

SIZES = (1, 100, 1_000)
SET, CONNECTIONS = 32, 4
ONE_BY_ONE = 16
_SCRIPT = ROOT / "bench" / "rival_scripts" / "procrastinate_turns.py"


async def measure(*, quick: bool) -> list[Figure]:
    """Run 100, 500 and 2,000 turns a round with 1, 100 and 1,000 games; about a tenth of it when quick."""
    rounds = 2 if quick else 5
    figures: list[Figure] = []
    async with postgres.migrated(*games.PLUGINS) as dsn:
        for size in (1, 100, 300) if quick else SIZES:
            again = {1: 20 if quick else 100, 100: 2 if quick else 5}.get(size, 1 if quick else 2)
            figures += await _size(dsn, size, again, rounds)
        figures += await _midnight(dsn, 300 if quick else 1_000, 2 if quick else 3)
    return figures


async def _size(dsn: str, size: int, again: int, rounds: int) -> list[Figure]:
    ours = partial(_run, dsn, "bench.turns:ours", size, again)
    sides: dict[str, Run] = {
        "ours": ours,
        "HTTP": partial(_http, ours),
        "sets": partial(_run, dsn, "bench.turns:bare", size, again, at_once=SET, connections=min(CONNECTIONS, size)),
        "single": partial(_run, dsn, "bench.turns:bare", size, again, at_once=1, connections=min(ONE_BY_ONE, size)),
    }
    missing = ""
    try:
        sides["procrastinate"] = partial(_procrastinate, dsn, size, min(again, 3), str(await rivals_python()))
    except RivalsMissing as reason:
        missing = str(reason)
    taken = await interleave(rounds, **sides)
    what = f"turns, {size:,} game{'s' if size > 1 else ''}"
    many = size > 1
    figure = partial(taken.figure, "S-12", what, "/s", "rate")
    figures = [
        figure(against="sets", named=f"asyncpg, sets of {SET}", goal=0.4 if many else None),
        figure(against="single", named="asyncpg, one a transaction", goal=1.0 if many else None),
        taken.figure("S-12", f"{what}, engine over HTTP", "/s", "rate", ours="HTTP", against="ours", goal=0.5),
        taken.figure("S-12", f"{what}, by CPU of the process", "/CPU s", "by_cpu", against="sets"),
    ]
    if missing:
        return [*figures, Figure("S-12", what, "/s", against="procrastinate", goal=5.0, note=missing)]
    return [*figures, figure(against="procrastinate", goal=5.0 if many else None)]


async def _midnight(dsn: str, size: int, rounds: int) -> list[Figure]:
    """Measure many games due at one instant against a tenth of them."""
    sides: dict[str, Run] = {
        "ours": partial(_run, dsn, "bench.turns:ours", size * 10, 1),
        "tenth": partial(_run, dsn, "bench.turns:ours", size, 2),
    }
    taken = await interleave(rounds, **sides)
    what = f"{size * 10:,} games due at one instant"
    return [taken.figure("S-16", what, "/s", "rate", against="tenth", named=f"{size:,} games", goal=0.8)]


async def _run(dsn: str, function: str, size: int, again: int, **more: object) -> Values:
    await games.fill(dsn, size)
    values: Values = await alone(function, dsn=dsn, size=size, again=again, **more)
    await games.check(dsn, size * (again + 1))
    return values


async def _http(run: "partial[Coroutine[Any, Any, Values]]") -> Values:
    """Run ours beside a null engine."""
    port = free_port()
    command = (sys.executable, "-m", "bench.null_engine", str(port))
    async with serving(*command, port=port):
        return await run(address=f"127.0.0.1:{port}")


async def ours(dsn: str, size: int, again: int, address: str = "") -> Values:
    """Run the turns of these games `again` times, after once that does not count."""
    ids = _ids(size)
    connection = await asyncpg.connect(dsn)
    async with games.table(dsn, address) as table:
        await games.timed_round(table, connection, ids)
        used, seconds = time.process_time(), 0.0
        for _ in range(again):
            seconds += await games.timed_round(table, connection, ids)
        used = time.process_time() - used
    await connection.close()
    return {"rate": size * again / seconds, "by_cpu": size * again / used}


async def bare(dsn: str, size: int, again: int, at_once: int, connections: int) -> Values:
    """Do the same with asyncpg alone."""
    connection = await asyncpg.connect(dsn)
    async with asyncpg.create_pool(dsn, min_size=connections, max_size=connections) as pool:
        await _bare_round(pool, connection, size, at_once, connections)
        used, seconds = time.process_time(), 0.0
        for _ in range(again):
            seconds += await _bare_round(pool, connection, size, at_once, connections)
        used = time.process_time() - used
    await connection.close()
    return {"rate": size * again / seconds, "by_cpu": size * again / used}


async def _bare_round(
    pool: "asyncpg.Pool[asyncpg.Record]",
    connection: "asyncpg.Connection[asyncpg.Record]",
    size: int,
    at_once: int,
    connections: int,
) -> float:
    async def work() -> None:
        async with pool.acquire() as own:
            while await bare_turn.turns(own, bare_turn.LOCK, at_once):
                pass

    await games.make_due(connection, _ids(size))
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return time.perf_counter() - began


async def _procrastinate(dsn: str, size: int, again: int, python: str) -> Values:
    await games.fill(dsn, size)
    connection = await asyncpg.connect(dsn)
    seconds = 0.0
    for _ in range(again):
        await games.make_due(connection, _ids(size))
        given = await script(Path(python), _SCRIPT, dsn=dsn, games=[str(each) for each in _ids(size)])
        seconds += given["seconds"]
    await connection.close()
    await games.check(dsn, size * again)
    return {"rate": size * again / seconds}


def _ids(size: int) -> Sequence[UUID]:
    return [games.game_id(number) for number in range(1, size + 1)]
