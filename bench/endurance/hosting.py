"""What S-10 asks a backend for, in the owner's and an operator's name: whoever is killed, it is asked for again."""

import asyncio
import random
from collections import Counter
from collections.abc import Container
from typing import Any

import aiohttp

from bench.endurance.backend import Backend
from bench.serve import TOKEN

STARTS = frozenset({"start a game", "start", "restart"})
"""What makes an engine."""
STOPS = frozenset({"stop", "cancel", "restart"})
"""What removes an engine."""
ANYTHING = STARTS | STOPS
MOST_GAMES = 6
"""With an engine, or stopped, at once."""
_FIRST, _PASSWORD = "the first password of the run", "the password of the run, which lasts"
ADMIN = {"BACKEND_ADMIN_BOOTSTRAP_USER": "operator", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": _FIRST}
"""Settings by which there is an operator."""
_PATIENCE = 120.0
"""Seconds until an answer, over however many processes."""
_GAMES, _ADMIN = "/api/v1/user/games", "/api/v1/admin"
_OWNER = {"Authorization": f"Bearer {TOKEN}"}
_TIMEOUT = aiohttp.ClientTimeout(total=20)
_DRAFT = {
    "name": "Andromeda",
    "engine_version": "galaxy@1.0.0",
    "min_players": 2,
    "max_players": 2,
    "schedule": {"interval": "1d"},
}


class Hosting:
    """Games, and what was asked for."""

    def __init__(self, client: aiohttp.ClientSession, backend: Backend, source: random.Random) -> None:
        self._client, self._backend, self._random = client, backend, source
        self.games: dict[str, bool] = {}
        """Games that are not cancelled, and whether their engine should be up."""
        self.asked: Counter[tuple[str, str]] = Counter()
        """Requests for operations, by game and operation: each may have been accepted without an answer."""
        self.accepted: Counter[tuple[str, str]] = Counter()
        """Those answered 202."""

    async def begin(self) -> None:
        """Open an operator's account, and wait until a version can be played."""
        body = {"current_password": _FIRST, "new_password": _PASSWORD}
        await self._ask("PUT", f"{_ADMIN}/admins/me/password", body, headers=_operator(_FIRST))
        async with asyncio.timeout(_PATIENCE):
            while True:
                _, versions = await self._ask("GET", "/api/v1/user/engine-versions")
                if any(each["players"] for each in versions["items"]):
                    return
                await asyncio.sleep(0.2)

    async def ask_for_something(self, among: Container[str] = ANYTHING) -> None:
        """Draw what, among what is wanted if any of it is possible, and return when it is accepted."""
        up, stopped = _where(self.games, up=True), _where(self.games, up=False)
        choices = [
            *(["start a game"] * 3 if len(self.games) < MOST_GAMES else []),
            *(["restart", "stop"] if up else []),
            *(["start"] * 2 if stopped else []),
            *(["cancel"] if len(self.games) == MOST_GAMES else []),
        ]
        match self._random.choice([each for each in choices if each in among] or choices):
            case "start a game":
                await self._start_game()
            case "cancel":
                await self._cancel(self._random.choice(sorted(self.games)))
            case operation:
                await self._operate(self._random.choice(stopped if operation == "start" else up), operation)

    async def cancel_all(self) -> None:
        """Cancel every game, and return when that is accepted."""
        for game in sorted(self.games):
            await self._cancel(game)

    async def _start_game(self) -> None:
        _, draft = await self._ask("POST", _GAMES, _DRAFT)
        game: str = draft["id"]
        for step, body in (("open-enrolment", None), ("join", None), ("machines", {"count": 1})):
            await self._ask("POST", f"{_GAMES}/{game}/{step}", body)
        self.games[game] = True
        await self._ask_operation(game, "start", f"{_GAMES}/{game}/start", _OWNER)

    async def _operate(self, game: str, operation: str) -> None:
        self.games[game] = operation != "stop"
        path = f"{_ADMIN}/runtime/games/{game}/{operation}"
        await self._ask_operation(game, operation, path, _operator(_PASSWORD))

    async def _cancel(self, game: str) -> None:
        await self._ask("POST", f"{_GAMES}/{game}/cancel")
        del self.games[game]

    async def _ask_operation(self, game: str, operation: str, path: str, headers: dict[str, str]) -> None:
        status, _ = await self._ask("POST", path, headers=headers, counted=(game, operation))
        self.accepted[game, operation] += status == 202

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] = _OWNER,
        counted: tuple[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Ask until there is an answer; 409 is one, since what was asked for before may have been done.

        Raise RuntimeError where the answer is another refusal.
        """
        async with asyncio.timeout(_PATIENCE):
            while True:
                if counted is not None:
                    self.asked[counted] += 1
                try:
                    url = f"{self._backend.url}{path}"
                    async with self._client.request(
                        method, url, json=body, headers=headers, timeout=_TIMEOUT
                    ) as answer:
                        if answer.status < 300 or answer.status == 409:
                            return answer.status, await answer.json() if answer.content_length else None
                        if answer.status != 503:
                            raise RuntimeError(f"docker: {method} {path}: {answer.status} {await answer.text()}")
                except aiohttp.ClientConnectorError:  # nobody was there to accept it
                    if counted is not None:
                        self.asked[counted] -= 1
                except (aiohttp.ClientError, TimeoutError):  # whether it was accepted is unknown
                    pass
                await asyncio.sleep(0.1)


def _where(games: dict[str, bool], *, up: bool) -> list[str]:
    return sorted(game for game, is_up in games.items() if is_up is up)


def _operator(password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.BasicAuth("operator", password).encode(), "Content-Type": "application/json"}
