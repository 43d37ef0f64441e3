"""Players of S-18: each sends orders for each turn by whichever replica answers, and notes what was accepted."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg

from bench import games
from bench.orders import PATH

_AT_ONCE = 8
"""Requests."""
_LOOK = 0.1
"""Seconds between two looks for turns that take orders."""
_PATIENCE = aiohttp.ClientTimeout(total=10)
_OPEN = """
    SELECT game_id, turn, seat FROM runtime_records, unnest(awaiting) AS seat
    WHERE orders_closed_at IS NULL AND next_turn_at > statement_timestamp() AND NOT seat = ANY(sent)
"""
Sent = tuple[UUID, int, int]
"""Game, turn and seat: each set is sent once, and again while no answer came."""


def orders_of(sent: Sent) -> list[Any]:
    """Return the orders of a set, which are of no other."""
    game, turn, seat = sent
    return [{"game": str(game), "turn": turn, "seat": seat}]


class Players:
    """Everybody on a seat."""

    def __init__(self, connection: "asyncpg.Connection[Any]", urls: Collection[str], source: random.Random) -> None:
        """`urls`: of the replicas that run now, kept up to date by the caller."""
        self._connection, self._urls, self._random = connection, urls, source
        self._sending: set[Sent] = set()
        self.accepted: set[Sent] = set()
        """What players were told is accepted."""
        self.answers: Counter[str] = Counter()
        """How often each status came, or none."""

    async def run(self) -> None:
        """Send until cancelled."""
        async with aiohttp.ClientSession(timeout=_PATIENCE) as client, asyncio.TaskGroup() as group:
            free = asyncio.Semaphore(_AT_ONCE)
            while True:
                for each in await self._connection.fetch(_OPEN):
                    if (sent := (each["game_id"], each["turn"], each["seat"])) not in self._sending:
                        self._sending.add(sent)
                        group.create_task(self._send(client, free, sent))
                await asyncio.sleep(_LOOK)

    async def _send(self, client: aiohttp.ClientSession, free: asyncio.Semaphore, sent: Sent) -> None:
        """Send a set; without an answer its fate is unknown, and the next look finds out."""
        game, turn, seat = sent
        body = {"turn": turn, "orders": orders_of(sent), "final": False}
        head = {"Authorization": f"Bearer {games.account_id(game.int & 0xFFFF, seat)}"}
        try:
            async with free:
                url = self._random.choice(sorted(self._urls)) + PATH.format(game)
                async with client.put(url, json=body, headers=head) as answer:
                    self.answers[str(answer.status)] += 1
                    if answer.status == 200:
                        self.accepted.add(sent)
        except (aiohttp.ClientError, TimeoutError):
            self.answers["none"] += 1
        finally:
            self._sending.discard(sent)
