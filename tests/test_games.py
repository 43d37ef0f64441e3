"""Games on real processes and real engines: nothing accepted is lost, no turn runs twice, whoever is killed (S-18)."""

import asyncio
import os
import random
import signal
from pathlib import Path

import aiohttp
import pytest
from full_backend import Mailbox, Served
from hosted_games import REFERENCE_ENGINE, Person, rows, settings, start_game

TURNS = 8
KILLS = 4


def engines(game: str) -> list[int]:
    """Return the processes that are engines of a game: those of other tests are left alone."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"GALAXY_GAME={game}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
async def test_a_game_survives_kills_of_everything(
    empty_database: str, mail_environment: dict[str, str], mailbox: Mailbox, tmp_path: Path
) -> None:
    """Two backends and their engine are killed in the middle: each turn ran once, with every accepted order."""
    environment = {**mail_environment, **settings(tmp_path / "run", galaxy=REFERENCE_ENGINE)}
    chosen = random.Random(18)
    async with (
        Served(empty_database, environment) as first,
        Served(empty_database, environment) as second,
        aiohttp.ClientSession() as client,
    ):
        replicas = [first, second]
        people = [Person(name, client, replicas) for name in ("ada", "bob")]
        for person in people:
            await person.sign_in(mailbox)
        game = await start_game(people, "galaxy")
        accepted: dict[tuple[int, int], str] = {}
        playing = asyncio.create_task(_play(people, game, accepted))
        for _ in range(KILLS):
            await asyncio.sleep(chosen.uniform(0.2, 1.5))
            for engine in engines(game):
                os.kill(engine, signal.SIGKILL)
            await asyncio.sleep(chosen.uniform(0.0, 0.3))
            place = chosen.randrange(2)
            await replicas[place].kill()
            replicas[place] = await Served(empty_database, environment).__aenter__()
        await playing
        for each in replicas:
            await each.__aexit__()
    turns = await rows(empty_database, "SELECT turn FROM runtime_turns ORDER BY turn")
    assert turns == [(turn,) for turn in range(TURNS + 1)]
    used = await rows(
        empty_database,
        "SELECT turn, seat, convert_from(orders, 'UTF8') FROM runtime_orders WHERE used_digest IS NOT NULL",
    )
    assert {(turn, seat): orders for turn, seat, orders in used} == accepted
    told = await rows(empty_database, "SELECT count(*) FROM notifications WHERE kind = 'lobby.turn_ready'")
    assert told == [(TURNS + 1,)]


async def _play(people: list[Person], game: str, accepted: dict[tuple[int, int], str]) -> None:
    for turn in range(TURNS):
        for person in people:
            report = await person.do("GET", f"/{game}/turns/{turn}/report")
            home = next(each for each in report["data"]["planets"] if each["owner"] == person.seat)
            orders = [{"order": "name", "planet": home["number"], "name": f"Turn {turn}"}]
            sent = await person.send(game, turn, orders)
            if sent:
                accepted[turn, person.seat] = f'[{{"order":"name","planet":{home["number"]},"name":"Turn {turn}"}}]'
        await people[0].until(f"/{game}", lambda shown, now=turn: shown["turn"] > now)
