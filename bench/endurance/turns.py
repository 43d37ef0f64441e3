"""S-18: two replicas that run the turns of sixteen games are killed in mid-turn, two hundred times.

A replica is a process with lobby, notification and runtime; the engine is one of a process of its own that takes a
moment for each turn. While players send orders for every turn, the seed draws which replica is killed by SIGKILL, as
soon as turns are claimed; another one takes its place. At the end every position is there once and without a gap, every
accepted set was used by its turn, players were told once of each position, and whatever was claimed at a kill was
claimed again, or committed, within a lease.
"""

import asyncio
import hashlib
import os
import random
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from bench import games, postgres
from bench.endurance.verdict import Verdict, some
from bench.process import ROOT, free_port, serving

GAMES = 16
_DELAY = "0.05"
"""Seconds that the engine takes for a turn."""
_INTERVAL = 2.0
"""Seconds between two turns of a game."""
_MOST_ATTEMPTS = 10
"""At one turn, after which nobody is killed until it is made: with twenty its game would be paused."""
_BETWEEN = 1.5
"""Seconds from a kill until the next is possible."""
_SEND = """
    WITH open AS (
        UPDATE runtime_records SET sent = awaiting WHERE orders_closed_at IS NULL AND sent = '{}'
            AND next_turn_at > statement_timestamp() RETURNING game_id, epoch, turn, awaiting
    )
    INSERT INTO runtime_orders (game_id, epoch, turn, seat, orders, final, revision, request_id)
    SELECT game_id, epoch, turn, seat, convert_to(format('[{"turn": %s, "seat": %s}]', turn, seat), 'UTF8'), false, 1,
        'bench'
    FROM open, unnest(awaiting) AS seat RETURNING game_id, turn, seat
"""
_BEGIN = f"""
    UPDATE runtime_records SET schedule = '{{"interval": {_INTERVAL}}}', anchor = statement_timestamp(),
        next_turn_at = statement_timestamp() + random() * interval '{_INTERVAL} s'
"""
_HALT = "UPDATE runtime_records SET schedule = '{\"interval\": 86400.0}'"
_USED = "SELECT game_id, turn, seat, used_digest FROM runtime_orders"
_GAPS = """
    SELECT game_id FROM runtime_turns GROUP BY game_id
    HAVING count(*) <> max(turn) + 1 OR count(*) <> count(DISTINCT turn)
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
_CLAIMED = "SELECT game_id, turn, turn_lease FROM runtime_records WHERE turn_claimed_at IS NOT NULL"


async def run(*, seed: int, short: bool) -> Verdict:
    """Kill 200 times; five times, with leases of two seconds, when short."""
    kills, lease = (5, 2.0) if short else (200, 15.0)
    async with postgres.migrated(*games.PLUGINS) as dsn:
        await games.fill(dsn, GAMES)
        port = free_port()
        command = (sys.executable, "-m", "bench.null_engine", str(port), _DELAY)
        async with serving(*command, port=port):
            scenario = _Scenario(dsn, random.Random(seed))
            await scenario.run(f"127.0.0.1:{port}", kills, lease)
        broken, lost, turns = await scenario.judge()
    return Verdict(
        id="S-18",
        scenario="turns",
        seed=seed,
        operations=turns,
        kills={"replica in mid-turn": kills},
        lost=lost,
        duplicated=0,
        converged_in=max(scenario.waited, default=0.0),
        within=lease + 0.5,
        broken=broken,
        notes={"games": GAMES, "claims in progress at a kill": scenario.claims / kills, "sets": len(scenario.accepted)},
    )


class _Scenario:
    def __init__(self, dsn: str, source: random.Random) -> None:
        self._dsn, self._random = dsn, source
        self.accepted: set[tuple[UUID, int, int]] = set()
        self.waited: list[float] = []
        """Seconds from a kill until each claim of that moment was another or committed."""
        self.claims = 0
        self._orphans: dict[tuple[UUID, int, int], float] = {}
        self._pids: list[int] = []

    async def run(self, engine: str, kills: int, lease: float) -> None:
        """Kill so many times, and let what is left run to its end."""
        self._connection = await asyncpg.connect(self._dsn)
        async with self._starter(engine, lease) as start:
            await start()
            await start()
            await self._connection.execute(_BEGIN)
            for _ in range(kills):
                await self._play(_BETWEEN)
                self.claims += await self._kill()
                await start()
            await self._connection.execute(_HALT)
            async with asyncio.timeout(120):
                while self._orphans or await self._connection.fetch(_CLAIMED):
                    await self._play(0.1)
            await asyncio.sleep(2 * _INTERVAL)  # the ticks that were set before the halt

    @asynccontextmanager
    async def _starter(self, engine: str, lease: float) -> AsyncIterator[Any]:
        command = (sys.executable, "-u", "-m", "bench.endurance.turn_replica", self._dsn, engine, str(lease))
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        assert process.stdin is not None
        assert process.stdout is not None
        told, line = process.stdin, process.stdout

        async def start() -> None:
            told.write(b"\n")
            async with asyncio.timeout(60):
                while not (said := (await line.readline()).strip()).isdigit():
                    if not said:
                        raise RuntimeError("turns: the replicas' starter has ended")
            self._pids.append(int(said))

        try:
            yield start
        finally:
            for pid in self._pids:
                os.kill(pid, signal.SIGKILL)
            process.kill()
            await process.communicate()

    async def _play(self, seconds: float) -> None:
        """Send orders for what is open, and look after orphaned claims."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.accepted.update(tuple(row) for row in await self._connection.fetch(_SEND))
            await self._look()
            await asyncio.sleep(0.05)

    async def _kill(self) -> int:
        """Kill a replica while turns are claimed; return how many were."""
        until = time.monotonic() + 120
        while not (claims := await self._fresh()):
            if time.monotonic() > until:
                raise RuntimeError(
                    f"turns: no turn was claimed for two minutes: {await self._connection.fetch(_STATES)}"
                )
            await self._play(0.01)
        victim = self._pids.pop(self._random.randrange(len(self._pids)))
        os.kill(victim, signal.SIGKILL)
        self._orphans |= dict.fromkeys(claims, time.monotonic())
        return len(claims)

    async def _fresh(self) -> list[tuple[UUID, int, int]]:
        """Return the claims since the last kill; none while a turn was tried so often that it would be given up."""
        if await self._connection.fetchval(_TRIED) >= _MOST_ATTEMPTS:
            return []
        claims = [tuple(row) for row in await self._connection.fetch(_CLAIMED)]
        return [each for each in claims if each not in self._orphans]

    async def _look(self) -> None:
        if self._orphans:
            claimed = {tuple(row) for row in await self._connection.fetch(_CLAIMED)}
            for claim in [each for each in self._orphans if each not in claimed]:
                self.waited.append(time.monotonic() - self._orphans.pop(claim))

    async def judge(self) -> tuple[list[str], int, int]:
        """Return which invariants are broken, how many accepted sets were lost, and how many turns were made."""
        fetch = self._connection.fetch
        turns = {row["game_id"]: row["turn"] for row in await fetch("SELECT game_id, turn FROM runtime_records")}
        used = {tuple(row)[:3]: row["used_digest"] for row in await fetch(_USED)}
        gaps, apart = await fetch(_GAPS), await fetch(_APART)
        told = await self._connection.fetchval("SELECT count(*) FROM notifications WHERE kind = 'lobby.turn_ready'")
        ran = [each for each in self.accepted if each[1] < turns[each[0]]]
        lost = [each for each in ran if used.get(each) != _digest(each)]
        await self._connection.close()
        broken = [
            *some("game with a gap, or a turn twice", [row[0] for row in gaps]),
            *some("game of which the lobby knows otherwise", [row[0] for row in apart]),
            *([] if told == sum(turns.values()) else [f"{told} notifications of {sum(turns.values())} turns"]),
            *some("accepted set that its turn did not use", lost),
        ]
        return broken, len(lost), sum(turns.values())


def _digest(accepted: tuple[UUID, int, int]) -> bytes:
    _, turn, seat = accepted
    return hashlib.sha256(f'[{{"turn": {turn}, "seat": {seat}}}]'.encode()).digest()
