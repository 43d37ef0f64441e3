"""S-18: two replicas that run the turns of sixteen games are killed in mid-turn, two hundred times.

A replica is a process with lobby, notification and runtime; the engine is one of a process of its own that takes a
moment for each turn. Players send orders for every turn over HTTP, to whichever replica runs. The seed draws which
replica is killed next: by SIGKILL, while turns are claimed by it; another one takes its place. At the end every
position is there once and without a gap, every accepted set was used by its turn, players were told once of each
position, and whatever a killed replica left claimed was claimed again in time.

In time is, by the design: a lease after the claim's last renewal, and as late as the survivor's longest wait between
two passes. Leases are those of production, and shorter ones in the short form.
"""

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import asyncpg

from bench import games, postgres
from bench.endurance import claim_log
from bench.endurance.players import Players, Sent, orders_of
from bench.endurance.turn_replica import GAMES
from bench.endurance.verdict import Verdict, some
from bench.process import ROOT, free_port, serving
from galaxy_runtime.turns.domain import INTERVAL, LEASE

_DELAY = "0.5"
"""Seconds that the engine takes for a turn."""
_INTERVAL = 4.0
"""Seconds between two turns of a game."""
_MOST_ATTEMPTS = 10
"""At one turn, after which nobody is killed until it is made: with twenty its game would be paused."""
_BETWEEN = 1.0
"""Seconds from a replica's start until the next kill is possible."""
_LOOK = 0.01
_BEGIN = f"""
    UPDATE runtime_records SET schedule = '{{"interval": {_INTERVAL}}}', anchor = new.at, next_turn_at = new.at
    FROM (SELECT game_id, statement_timestamp() + random() * interval '{_INTERVAL} s' AS at FROM runtime_records) AS new
    WHERE new.game_id = runtime_records.game_id
"""
"""Each by a grid of its own: turns that are due at one moment would all be claimed by one replica."""
_HALT = "UPDATE runtime_records SET schedule = '{\"interval\": 86400.0}'"
_SETS = "SELECT game_id, turn, seat, orders, used_digest FROM runtime_orders"
_POSITIONS = """
    SELECT game_id, max(turn) AS last, count(DISTINCT turn) AS made, count(*) - count(DISTINCT turn) AS doubled
    FROM runtime_turns GROUP BY game_id
"""
_APART = """
    SELECT g.id FROM games AS g JOIN runtime_records AS r ON r.game_id = g.id
    WHERE g.turn <> r.turn OR g.state <> 'running'
"""
_TRIED = "SELECT max(turn_attempts) FROM runtime_records"
_STATES = """
    SELECT g.state, g.pause_reason, r.playing, r.turn_attempts, r.turn_failure, r.next_turn_at - now() AS left, count(*)
    FROM games AS g JOIN runtime_records AS r ON r.game_id = g.id GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC LIMIT 5
"""
_UNFINISHED = "SELECT count(*) FROM runtime_records WHERE next_turn_at < now() + interval '1 hour'"
_TOLD = "SELECT count(*) FROM notifications WHERE kind = 'lobby.turn_ready'"


async def run(*, seed: int, short: bool) -> Verdict:
    """Kill 200 times; five times, with leases of two seconds, when short."""
    kills, lease = (5, 2.0) if short else (200, LEASE.total_seconds())
    async with postgres.migrated(*games.PLUGINS) as dsn:
        await games.fill(dsn, GAMES)
        port = free_port()
        command = (sys.executable, "-m", "bench.null_engine", str(port), _DELAY)
        async with serving(*command, port=port):
            scenario = _Scenario(dsn, random.Random(seed))
            await scenario.run(f"127.0.0.1:{port}", kills, lease)
        return await scenario.verdict(seed, lease)


class _Scenario:
    def __init__(self, dsn: str, source: random.Random) -> None:
        self._dsn, self._random = dsn, source
        self._running: dict[int, str] = {}
        """URLs of the replicas, by process id."""
        self._killed: dict[int, float] = {}
        """When each replica was killed, in seconds since 1970."""
        self._accepted: set[Sent] = set()
        self._answers: Counter[str] = Counter()
        self._said = ""

    async def run(self, engine: str, kills: int, lease: float) -> None:
        """Kill so many times, and let what is left run to its end."""
        connection = await asyncpg.connect(self._dsn)
        await claim_log.install(connection)
        async with self._starter(engine, lease) as start:
            await start()
            await start()
            async with self._playing():
                await connection.execute(_BEGIN)
                for number in range(1, kills + 1):
                    await asyncio.sleep(_BETWEEN)
                    await self._kill(connection)
                    await start()
                    if number % 20 == 0:
                        print(f"  turns: {number} of {kills} kills", file=sys.stderr, flush=True)
                await connection.execute(_HALT)
                async with asyncio.timeout(120):
                    while await connection.fetchval(_UNFINISHED):  # noqa: ASYNC110 - of other processes
                        await asyncio.sleep(_LOOK)
        await connection.close()

    @asynccontextmanager
    async def _playing(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self._dsn)
        players = Players(connection, self._running.values(), random.Random(self._random.random()))
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(players.run())
                yield
                task.cancel()
        finally:
            self._accepted, self._answers = players.accepted, players.answers
            await connection.close()

    @asynccontextmanager
    async def _starter(self, engine: str, lease: float) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Have replicas started until the block ends, and keep what they write on stderr."""
        command = (sys.executable, "-u", "-m", "bench.endurance.turn_replica", self._dsn, engine, str(lease))
        with tempfile.TemporaryFile("w+") as said:
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=said)
            assert process.stdin is not None
            assert process.stdout is not None
            told, lines = process.stdin, process.stdout

            async def start() -> None:
                told.write(b"\n")
                async with asyncio.timeout(60):
                    pid, _, url = (await lines.readline()).decode().strip().partition(" ")
                if not url:
                    raise RuntimeError("turns: the replicas' starter has ended")
                self._running[int(pid)] = url

            try:
                yield start
            finally:
                for pid in self._running:
                    os.kill(pid, signal.SIGKILL)
                process.kill()
                await process.communicate()
                said.seek(0)
                self._said = said.read()

    async def _kill(self, connection: "asyncpg.Connection[Any]") -> None:
        """Kill a replica while it has claimed turns, and none was tried so often that it would be given up."""
        victim = self._random.choice(sorted(self._running))
        until = time.monotonic() + 120
        while await connection.fetchval(_TRIED) >= _MOST_ATTEMPTS or not await claim_log.in_progress(
            connection, victim
        ):
            if time.monotonic() > until:
                raise RuntimeError(f"turns: {victim} claimed none for two minutes: {await connection.fetch(_STATES)}")
            await asyncio.sleep(_LOOK)
        os.kill(victim, signal.SIGKILL)
        self._killed[victim] = time.time()
        del self._running[victim]

    async def verdict(self, seed: int, lease: float) -> Verdict:
        """Return what the database says of it."""
        connection = await asyncpg.connect(self._dsn)
        positions, again = await connection.fetch(_POSITIONS), await claim_log.claimed_again(connection)
        last = {row["game_id"]: row["last"] for row in positions}
        turns, doubled = sum(last.values()), sum(row["doubled"] for row in positions)
        used = {tuple(row)[:3]: row for row in await connection.fetch(_SETS)}
        told, apart = await connection.fetchval(_TOLD), await connection.fetch(_APART)
        await connection.close()
        lost = [sent for sent in self._accepted if sent[1] < last[sent[0]] and not _was_used(sent, used.get(sent))]
        left = [each for each in again if each.replica in self._killed]
        return Verdict(
            id="S-18",
            scenario="turns",
            seed=seed,
            operations=turns,
            kills={"replica in mid-turn": len(self._killed)},
            lost=len(lost),
            duplicated=doubled,
            converged_in=max(claim_log.waits(left, self._killed), default=0.0),
            within=lease + INTERVAL.total_seconds(),
            broken=[
                *some("game with a gap", [row["game_id"] for row in positions if row["made"] <= row["last"]]),
                *some("game with a turn twice", [row["game_id"] for row in positions if row["doubled"]]),
                *some("game of which the lobby knows otherwise", [row[0] for row in apart]),
                *([] if told == turns else [f"{told} notifications of {turns} turns"]),
                *some("accepted set that its turn did not use", lost),
                *([] if left else ["no turn was interrupted"]),
                *some("line on the replicas' stderr", self._said.splitlines()),
            ],
            notes={
                "games": GAMES,
                "lease, s": lease,
                "accepted sets": len(self._accepted),
                **{f"answers to orders: {answer}": count for answer, count in sorted(self._answers.items())},
                "turns interrupted": len(left),
                "kills that interrupted": len({each.replica for each in left}),
                "claimed after a lease's end, s": max((each.late for each in left), default=0.0),
                "leases lost alive": len(again) - len(left),
            },
        )


def _was_used(sent: Sent, row: asyncpg.Record | None) -> bool:
    """Whether a turn was made from what was accepted."""
    return (
        row is not None
        and json.loads(row["orders"]) == orders_of(sent)
        and row["used_digest"] == sha256(row["orders"]).digest()
    )
