"""Two backends on one database: what one does, the other shows and enforces."""

import asyncio
from collections import Counter
from typing import Any

GAMES = "/api/v1/user/games"


async def test_the_other_replica_follows(make_world: Any) -> None:
    """Games, seats and ends appear in its memory; players order at either."""
    one = await make_world()
    other = await make_world(beside=one)
    ada, bob = one.account("Ada"), one.account("Bob")
    game = await one.running(ada, ada, bob)
    await other.until(lambda: one.memory() == other.memory())
    assert [each["id"] for each in (await other.do(bob, "GET", ""))["items"]] == [game]
    assert (await other.send(bob, game, final=True))[0] == 200
    assert (await one.do(bob, "GET", ""))["items"][0]["final"] is True
    await other.do(ada, "POST", f"/{game}/pause")
    await one.until(lambda: one.memory() == other.memory())
    assert (await one.do(bob, "GET", ""))["items"][0]["state"] == "paused"
    await one.do(ada, "POST", f"/{game}/cancel")
    await other.until(lambda: one.memory() == other.memory())
    assert (await other.do(bob, "GET", ""))["total"] == 0


async def test_what_memory_does_not_know_yet_is_looked_up(make_world: Any) -> None:
    """A game made at one replica is there at the other at once, for its own players."""
    one = await make_world()
    other = await make_world(beside=one)
    ada, bob = one.account("Ada"), one.account("Bob")
    for _ in range(5):
        game = await one.running(ada, ada)
        assert (await other.ask("GET", f"{GAMES}/{game}", ada))[0] == 200
        assert (await other.ask("GET", f"{GAMES}/{game}/turns/0/report", ada))[0] == 200
        assert (await other.ask("GET", f"{GAMES}/{game}/turns/0/public", bob))[0] == 200


async def test_replicas_share_the_seats(make_world: Any) -> None:
    """Joiners at both take no more seats than there are, and transitions at both happen once."""
    one = await make_world()
    other = await make_world(beside=one)
    ada = one.account("Ada")
    game = await one.opened(ada, max_players=3)
    players = [one.account(f"P{number}") for number in range(20)]
    joins = ((one, other)[number % 2].ask("POST", f"{GAMES}/{game}/join", each) for number, each in enumerate(players))
    answers = await asyncio.gather(*joins)
    assert Counter(status for status, _ in answers) == {200: 3, 409: 17}
    starts = await asyncio.gather(*((one, other)[n % 2].ask("POST", f"{GAMES}/{game}/start", ada) for n in range(6)))
    assert Counter(status for status, _ in starts) == {202: 1, 409: 5}
    assert await one.rows("SELECT enrolled, state FROM games") == [(3, "starting")]
    assert await one.rows("SELECT seat FROM memberships ORDER BY seat") == [(1,), (2,), (3,)]
