"""People who play games on real processes, over HTTP: whoever is killed, they ask again."""

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from full_backend import CONFIRM, SEND, Mailbox, Served
from sqlalchemy import text

from galaxy_kernel.database import Database, make_engine, schema_of

GAMES = "/api/v1/user/games"
REFERENCE_ENGINE = Path(sys.executable).parent / "galaxy-game"
PATIENCE = 60.0
"""Seconds: a turn whose process was killed waits for its lease."""


def settings(folder: Path, **engines: Path) -> dict[str, str]:
    """Return the environment of a backend whose engines are processes, `<engine>@1.0.0` at these paths."""
    versions = ",".join(f"{name}@1.0.0={path}" for name, path in engines.items())
    return {
        "BACKEND_RUNTIME_DRIVER": "process",
        "BACKEND_RUNTIME_PROCESS_DIR": str(folder),
        "BACKEND_ENGINEVERSION_VERSIONS": versions,
    }


class Person:
    """Somebody who plays, by whichever replica answers."""

    def __init__(self, name: str, client: aiohttp.ClientSession, replicas: Sequence[Served]) -> None:
        self.name, self._client, self._replicas = name, client, replicas
        self._token = ""
        self.seat = 0

    async def sign_in(self, mailbox: Mailbox) -> None:
        """Sign in by a code from a mail."""
        email = f"{self.name}@example.test"
        _, challenge = await self.ask("POST", SEND, {"email": email})
        body = {"challenge_id": challenge["challenge_id"], "code": await mailbox.code_to(email)}
        status, session = await self.ask("POST", CONFIRM, body)
        assert status == 201, session
        self._token = session["session_token"]

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask a replica that runs, and another one when that dies; 503 is asked again."""
        async with asyncio.timeout(PATIENCE):
            while True:
                running = [each for each in self._replicas if each.process.returncode is None and each.url]
                if running:
                    try:
                        status, document = await self._ask(random.choice(running).url, method, path, body)
                    except (aiohttp.ClientError, TimeoutError):
                        status, document = 0, None
                    if status not in (0, 503):
                        return status, document
                await asyncio.sleep(0.1)

    async def _ask(self, url: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = aiohttp.ClientTimeout(total=20)
        async with self._client.request(method, f"{url}{path}", json=body, headers=headers, timeout=timeout) as answer:
            return answer.status, await answer.json() if answer.content_length else None

    async def do(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Ask under the path of games; the answer must have this status."""
        got, document = await self.ask(method, f"{GAMES}{path}", body)
        assert got == status, document
        return document

    async def until(self, path: str, condition: Callable[[Any], Any]) -> Any:
        """Ask for a document under the path of games until it is as it should be, and return it."""
        document = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    status, document = await self.ask("GET", f"{GAMES}{path}")
                    if status == 200 and condition(document):
                        return document
                    await asyncio.sleep(0.05)
        except TimeoutError:
            said = [line for each in self._replicas for line in each.lines if line["level"] != "info"]
            pytest.fail(f"waited for {path}: {document}\n" + "\n".join(map(str, said[-10:])))

    async def send(self, game: str, turn: int, orders: list[Any], *, final: bool = True) -> bool:
        """Send orders; return whether they were accepted: not where the turn is over by now."""
        body = {"turn": turn, "orders": orders, "final": final}
        while True:
            status, document = await self.ask("PUT", f"{GAMES}/{game}/orders", body)
            if status == 200:
                return True
            assert status == 409, document
            if document["code"] == "turn_over":
                return False
            shown = await self.do("GET", f"/{game}")
            if shown["turn"] != turn or shown["state"] != "running":
                return False
            await asyncio.sleep(0.1)


async def offered(person: Person, engine: str, patience: float = PATIENCE) -> None:
    """Wait until an engine's version was checked, and can be played."""
    async with asyncio.timeout(patience):
        while True:
            _, versions = await person.ask("GET", "/api/v1/user/engine-versions")
            if any(each["engine"] == engine and each["players"] for each in versions["items"]):
                return
            await asyncio.sleep(0.2)


async def start_game(people: Sequence[Person], engine: str, *, machines: int = 0, **spec: Any) -> str:
    """Have the first person create a game that all join, and wait until it runs; return its id."""
    owner, seats = people[0], len(people) + machines
    await offered(owner, engine)
    body = {
        "name": "Andromeda",
        "engine_version": f"{engine}@1.0.0",
        "min_players": seats,
        "max_players": seats,
        "schedule": {"interval": "1d"},
        "run_when_final": True,
        **spec,
    }
    game: str = (await owner.do("POST", "", body, status=201))["id"]
    await owner.do("POST", f"/{game}/open-enrolment")
    for person in people:
        await person.do("POST", f"/{game}/join")
    if machines:
        await owner.do("POST", f"/{game}/machines", {"count": machines})
    await owner.do("POST", f"/{game}/start", status=202)
    for person in people:
        person.seat = (await person.until(f"/{game}", lambda shown: shown["state"] == "running"))["seat"]
    return game


async def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Return what a statement finds in a deployment's database."""
    engine = make_engine(dsn)
    try:
        async with Database(engine, schema_of(dsn)).reading() as connection:
            return [tuple(row) for row in await connection.execute(text(statement))]
    finally:
        await engine.dispose()
