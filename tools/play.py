"""`make play`: a whole game between two scripted players against `backend dev`, and its story.

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
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

GAMES = "/api/v1/user/games"
_PATIENCE = 60.0
"""Seconds for whatever is waited for."""
_BANNER_ENDS = "turns/0/report"


class PlayError(Exception):
    """Something was answered that should not be."""


class Player:
    """A scripted player: sends what it can spare to the planet that is cheapest to take."""

    def __init__(self, name: str, http: aiohttp.ClientSession, boldness: float) -> None:
        self.name, self.boldness = name, boldness
        """`boldness`: the share of a planet's ships that leaves it."""
        self._http = http
        self._headers: dict[str, str] = {}

    async def sign_in(self, api: str, mails: str) -> None:
        """Sign in by the code of a mail, and take the name."""
        self._api, email = api, f"{self.name.lower()}@example.test"
        sent = await self.ask("POST", "/api/v1/public/auth/send-email-code", {"email": email})
        async with self._http.get(f"{mails}/api/code", params={"to": email}) as answer:
            code = (await answer.text()).strip()
        body = {"challenge_id": sent["challenge_id"], "code": code}
        session = await self.ask("POST", "/api/v1/public/auth/confirm-email-code", body)
        self._headers = {"Authorization": f"Bearer {session['session_token']}"}
        await self.ask("PATCH", "/api/v1/user/account", {"display_name": self.name})

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request and return the answer's JSON. Raise PlayError for an error."""
        async with self._http.request(method, f"{self._api}{path}", json=body, headers=self._headers) as answer:
            document = await answer.json() if answer.content_length else None
            if answer.status >= 400:
                raise PlayError(f"{method} {path}: {answer.status} {document}")
            return document

    async def move(self, game: str, turn: int) -> None:
        """Send final orders for a turn."""
        report = await self.ask("GET", f"{GAMES}/{game}/turns/{turn}/report")
        options = await self.ask("GET", f"{GAMES}/{game}/orders/options")
        orders = self.orders(report["data"], options.get("data", {}))
        await self.ask("PUT", f"{GAMES}/{game}/orders", {"turn": turn, "orders": orders, "final": True})

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
    """Run `backend dev` on free ports and new data; yield the addresses of the API and of the mail page."""
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
            yield _address(banner, "API"), _address(banner, "Mail page")
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


async def until(what: str, ask: Any) -> Any:
    """Wait until a question has a true answer, and return it."""
    async with asyncio.timeout(_PATIENCE):
        while not (answer := await ask()):  # noqa: ASYNC110 # the backend is another process
            await asyncio.sleep(0.05)
        return answer
    raise PlayError(f"waited for {what}")


async def create(players: list[Player], options: dict[str, Any]) -> str:
    """Have the first player create a game that the others join, and start it; return its id."""
    owner = players[0]

    async def version() -> Any:
        items = (await owner.ask("GET", "/api/v1/user/engine-versions"))["items"]
        return items and items[0]["players"] and items[0]["id"]

    spec = {
        "name": "The long night",
        "engine_version": await until("the reference engine", version),
        "min_players": len(players),
        "max_players": len(players),
        "schedule": {"interval": "1d"},
        "run_when_final": True,
        "options": options,
    }
    game: str = (await owner.ask("POST", GAMES, spec))["id"]
    await owner.ask("POST", f"{GAMES}/{game}/open-enrolment")
    for player in players:
        await player.ask("POST", f"{GAMES}/{game}/join")
    await owner.ask("POST", f"{GAMES}/{game}/start")

    async def running() -> Any:
        state = (await owner.ask("GET", f"{GAMES}/{game}"))["state"]
        if state == "start_failed":
            raise PlayError("the game could not be started")
        return state == "running"

    await until("the first position", running)
    return game


async def play(game: str, players: list[Player]) -> dict[str, Any]:
    """Play a game to its end, print each report of the first player, and return the game."""
    reader = players[0]
    turn = 0
    while True:
        report = await reader.ask("GET", f"{GAMES}/{game}/turns/{turn}/report")
        print(f"\n{report.get('text', '').strip()}\n", flush=True)
        shown: dict[str, Any] = await reader.ask("GET", f"{GAMES}/{game}")
        if shown["state"] == "finished":
            return shown
        waiting = {seat["seat"] for seat in shown["seats"] if seat["state"] == "playing"}
        for player in players:
            if (await player.ask("GET", f"{GAMES}/{game}"))["seat"] in waiting:
                await player.move(game, turn)

        async def next_turn(now: int = turn) -> Any:
            found = await reader.ask("GET", f"{GAMES}/{game}")
            return found["state"] == "finished" or found["turn"] > now

        await until(f"turn {turn + 1}", next_turn)
        turn = (await reader.ask("GET", f"{GAMES}/{game}"))["turn"]


async def main() -> None:
    """Play, and say who has won."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planets", type=int, default=5, help="planets a player (3 to 10)")
    arguments = parser.parse_args()
    async with backend() as (api, mails), aiohttp.ClientSession() as http:
        players = [Player("Ada", http, 0.9), Player("Bob", http, 0.6)]
        for player in players:
            await player.sign_in(api, mails)
        game = await create(players, {"planets": arguments.planets})
        finished = await play(game, players)
        names = {seat["seat"]: seat["name"] for seat in finished["seats"]}
        winners = [names[seat] for seat in (finished["result"] or {}).get("winners", [])]
        print(f"The game is over after {finished['turn']} turns. Winner: {', '.join(winners) or 'nobody'}.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except PlayError as error:
        sys.exit(f"make play: {error}")
    except TimeoutError:
        sys.exit("make play: it took too long")
