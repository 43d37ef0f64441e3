"""`make play`: a whole game between two scripted players through the gateway of `backend dev`, and its story.

Everything is new and temporary: database, mails, engine. The players sign in by codes from their mails, one creates the
game, and each turn runs as soon as both have sent final orders. What is printed is what the first player reads.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from galaxy_client import Galaxy, GalaxyError
from galaxy_client.models import Challenge, EngineVersion, Game

_PATIENCE = 60.0
"""Seconds until everything runs."""
_A_GAME = 600.0
"""Seconds that the game may take."""
_BANNER_ENDS = "turns/0/report"


class PlayError(Exception):
    """Something was answered that should not be."""


class Player:
    """A scripted player: sends what it can spare to the planet that is cheapest to take."""

    def __init__(self, name: str, gateway: str, boldness: float) -> None:
        self.name, self.boldness = name, boldness
        """`boldness`: the share of a planet's ships that leaves it."""
        self.galaxy = Galaxy(gateway)

    async def sign_in(self, mails: str) -> None:
        """Sign in by the code of a mail, and take the name."""
        email = f"{self.name.lower()}@example.test"

        async def code(_: Challenge) -> str:
            async with aiohttp.ClientSession() as http, http.get(f"{mails}/api/code", params={"to": email}) as answer:
                return (await answer.text()).strip()

        await self.galaxy.sign_in(email, code)
        await self.galaxy.change_account(display_name=self.name)

    async def move(self, game: UUID, turn: int) -> None:
        """Send final orders for a turn."""
        report, options = await self.galaxy.report(game, turn), await self.galaxy.options(game)
        await self.galaxy.send(game, self.orders(report.data, options.data or {}), final=True, turn=turn)

    def orders(self, seen: dict[str, Any], possible: dict[str, Any]) -> list[dict[str, Any]]:
        """Return orders: each planet sends to the target that gives most industry for its defenders and the way."""
        planets = {planet["number"]: planet for planet in seen["planets"]}
        mine = {each["planet"] for each in possible.get("planets", [])}
        orders = []
        for base in possible.get("planets", []):
            ships = int(base["ships"] * self.boldness)
            targets = [each for each in base["targets"] if each["planet"] not in mine and each["planet"] in planets]
            worth = {each["planet"]: _worth(planets[each["planet"]], each["turns"], ships) for each in targets}
            best = max(worth, key=lambda planet: worth[planet], default=None)
            if best is not None and worth[best] > 0:
                orders.append({"order": "send", "from": base["planet"], "to": best, "ships": ships})
        return orders


def _worth(planet: dict[str, Any], turns: int, ships: int) -> float:
    """Return what an attack is worth; 0 where it would be lost."""
    defenders = (planet["ships"] or 0) * 5 / 4
    return planet["industry"] / (turns + defenders / 10) if ships > defenders * 1.3 + turns else 0.0


@asynccontextmanager
async def backend() -> AsyncIterator[tuple[str, str]]:
    """Run `backend dev` on free ports and new data; yield the addresses of the gateway and of the mail page."""
    with tempfile.TemporaryDirectory(prefix="galaxy-play-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galaxy_kernel", "dev", "--any-ports", "--data", str(Path(folder) / "data")),
            env={"PATH": os.environ["PATH"], "BACKEND_LOG_LEVEL": "warning"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            banner = await asyncio.wait_for(_banner(process), _PATIENCE)
            reading = asyncio.create_task(_drain(process))
            yield _address(banner, "Gateway"), _address(banner, "Mail page")
            reading.cancel()
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _banner(process: asyncio.subprocess.Process) -> str:
    text = ""
    while _BANNER_ENDS not in text:
        line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise PlayError(f"backend dev ended:\n{text}")
        text += line.decode()
    return text


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Show what the backend has to say: only warnings are left."""
    while process.stdout and (line := await process.stdout.readline()):
        sys.stderr.write(line.decode())


def _address(banner: str, label: str) -> str:
    found = re.search(rf"{label} +(http://\S+)", banner)
    if found is None:
        raise PlayError(f"no address of {label} in:\n{banner}")
    return found[1]


async def create(players: list[Player], options: dict[str, Any]) -> UUID:
    """Have the first player create a game that the others join, and start it; return its id."""
    owner = players[0].galaxy
    version = await _reference_engine(owner)
    game = await owner.create(
        "The long night",
        str(version.id),
        min_players=len(players),
        max_players=len(players),
        schedule={"interval": "1d"},
        run_when_final=True,
        options=options,
    )
    await owner.open_enrolment(game.id)
    for player in players:
        await player.galaxy.join(game.id)
    await owner.start(game.id)
    started = await owner.until(game.id, lambda shown: shown.state in ("running", "start_failed"), every=0.1)
    if started.state == "start_failed":
        raise PlayError(f"the game could not be started: {started.failure}")
    return game.id


async def _reference_engine(galaxy: Galaxy) -> EngineVersion:
    """Return the version of the reference engine, once it has been checked."""
    while True:
        for version in (await galaxy.engine_versions()).items:
            if version.players is not None:
                return version
        await asyncio.sleep(0.1)


async def play(game: UUID, players: list[Player]) -> Game:
    """Play a game to its end, print each report of the first player, and return the game."""
    reader = players[0].galaxy
    shown = await reader.game(game)
    while True:
        turn = shown.turn or 0
        print(f"\n{((await reader.report(game, turn)).text or '').strip()}\n", flush=True)
        if shown.state == "finished":
            return shown
        playing = {seat.name for seat in shown.seats if seat.state == "playing"}
        for player in players:
            if player.name in playing:
                await player.move(game, turn)
        shown = await reader.until(game, partial(_has_moved, turn), every=0.1)


def _has_moved(turn: int, game: Game) -> bool:
    return game.state == "finished" or (game.turn or 0) > turn


async def main() -> None:
    """Play, and say who has won."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planets", type=int, default=5, help="planets a player (3 to 10)")
    arguments = parser.parse_args()
    async with backend() as (gateway, mails), AsyncExitStack() as stack:
        players = [Player("Ada", gateway, 0.9), Player("Bob", gateway, 0.6)]
        for player in players:
            await stack.enter_async_context(player.galaxy)
            await player.sign_in(mails)
        async with asyncio.timeout(_A_GAME):
            finished = await play(await create(players, {"planets": arguments.planets}), players)
        winners = [finished.named(seat) for seat in (finished.result or {}).get("winners", [])]
        print(f"The game is over after {finished.turn} turns. Winner: {', '.join(winners) or 'nobody'}.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (PlayError, GalaxyError) as error:
        sys.exit(f"make play: {error}")
    except TimeoutError:
        sys.exit("make play: it took too long")
