"""Any engine that speaks the contract is hosted as it is: the examples, and shapes of games that ours does not have."""

import shutil
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from full_backend import Served, receiving
from hosted_games import Person, settings, start_game

from galaxy_devkit.testing import PostgresCluster

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXAMPLES = Path(__file__).parents[1] / "engine" / "examples"

SCRIPT = '#!/bin/sh\nexec {} "{}"\n'

SHAPES = '''#!{python}
"""Up to seven seats that move one after the other, or in phases; reports without text; a game of so many turns."""
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

STATE = {{}}

def position(state):
    seats, turn = state["seats"], state["turn"]
    reports = {{str(seat): {{"data": {{"moved": state["moved"]}}}} for seat in seats}}
    made = {{"turn": turn, "state": state, "reports": reports}}
    if state["phases"]:
        made |= {{"phase": "retreat", "awaiting": [2, 5]}} if turn % 2 else {{"phase": "movement", "awaiting": seats}}
    else:
        made["awaiting"] = [seats[turn % len(seats)]]
    if turn == (4 if state["phases"] else 9):
        made |= {{"finished": True, "result": {{"winners": seats[:2]}}, "awaiting": []}}
    return made

class Engine(BaseHTTPRequestHandler):
    def answer(self, status, body=None):
        raw = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body, parts = (json.loads(raw) if raw else {{}}), self.path.strip("/").split("/")
        if parts == ["healthz"]:
            return self.answer(200)
        if parts == ["v1", "describe"]:
            return self.answer(200, {{"contract": 1, "engine": "shapes", "version": "1.0.0",
                                      "players": {{"min": 2, "max": 7}}}})
        if parts == ["v1", "init"]:
            seats = [each["seat"] for each in body["seats"]]
            STATE["now"] = {{"turn": 0, "seats": seats, "moved": [], "phases": "phases" in body["options"]}}
            return self.answer(200, position(STATE["now"]))
        if parts == ["v1", "state"]:
            STATE["now"], STATE["orders"] = body["state"], {{}}
            return self.answer(204)
        if "now" not in STATE or body["turn"] != STATE["now"]["turn"]:
            return self.answer(409, {{"code": "wrong_turn", "message": "wrong turn"}})
        if parts[1] == "seats":
            STATE.setdefault("orders", {{}})[parts[2]] = body["orders"]
            return self.answer(200, {{"accepted": True, "errors": []}})
        now, orders = STATE["now"], STATE.get("orders", {{}})
        STATE["now"] = {{**now, "turn": now["turn"] + 1, "moved": now["moved"] + [sorted(orders)]}}
        STATE["orders"] = {{}}
        return self.answer(200, position(STATE["now"]))

    do_GET = do_POST = do_PUT = do
    def log_message(self, *_): pass

HTTPServer(("127.0.0.1", int(os.environ.get("PORT", 8080))), Engine).serve_forever()
'''


def executable(path: Path, text: str) -> Path:
    """Write a program."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(
    postgres_cluster: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Person]]:
    """Return seven people who have signed in to one backend, which hosts all engines of this file."""
    folder = tmp_path_factory.mktemp("engines")
    engines = {
        "shapes": executable(folder / "shapes", SHAPES.format(python=sys.executable)),
        "auction": executable(folder / "auction", SCRIPT.format(sys.executable, EXAMPLES / "python/auction.py")),
    }
    if node := shutil.which("node"):
        engines["nim"] = executable(folder / "nim", SCRIPT.format(f"{node} --jitless", EXAMPLES / "node/nim.mjs"))
    dsn = postgres_cluster.clone()
    async with receiving() as mailbox:
        environment = {**mailbox.environment, **settings(folder / "run", **engines), "BACKEND_RUNTIME_MEMORY": "1GiB"}
        async with Served(dsn, environment) as served, aiohttp.ClientSession() as client:
            people = [Person(name, client, [served]) for name in ("ada", "bob", "cleo", "dora", "emil", "fay", "gus")]
            for person in people:
                await person.sign_in(mailbox)
            yield people
    postgres_cluster.drop(dsn)


async def test_seats_that_move_one_after_the_other_and_in_phases(people: list[Person]) -> None:
    """Two people play a game in which one seat is awaited a turn, then seven one in phases that await some of them.

    Sets are empty, reports have no text, two win; who is not awaited is told so, and not waited for.
    """
    alternating = await start_game(people[:2], "shapes")
    moved = await play(people[:2], alternating, turns=9)
    assert [len(seats) for seats in moved] == [1] * 9
    phases = await start_game(people, "shapes", options={"phases": True})
    assert await play(people, phases, turns=4) == [["1", "2", "3", "4", "5", "6", "7"], ["2", "5"]] * 2


async def play(people: Sequence[Person], game: str, turns: int) -> list[list[str]]:
    """Play to the end with empty sets; return the seats whose orders the engine got, turn by turn."""
    for turn in range(turns):
        shown = await people[0].until(f"/{game}", lambda shown, now=turn: shown["turn"] == now)
        body = {"turn": turn, "orders": [], "final": True}
        for person in sorted(people, key=lambda person: person.seat in shown["awaiting"]):
            status, said = await person.ask("PUT", f"/api/v1/user/games/{game}/orders", body)
            expected = (200, None) if person.seat in shown["awaiting"] else (409, "not_awaited")
            assert (status, said.get("code")) == expected
    shown = await people[1].until(f"/{game}", lambda shown: shown["state"] == "finished")
    assert shown["result"]["winners"] == [1, 2]
    report = await people[1].do("GET", f"/{game}/turns/{turns}/report")
    assert report.get("text") is None
    moved: list[list[str]] = report["data"]["moved"]
    return moved


@pytest.mark.parametrize("engine", ["nim", "auction"])
async def test_the_examples_are_hosted(people: list[Person], engine: str) -> None:
    """Each example of the guide is played for some turns by people who send empty sets."""
    if engine == "nim" and shutil.which("node") is None:
        pytest.skip("there is no node here")
    players = people[:2]
    game = await start_game(players, engine)
    for turn in range(3):
        shown = await players[0].until(f"/{game}", lambda shown, now=turn: shown["turn"] == now)
        if shown["state"] == "finished":
            break
        for person in players:
            if person.seat in shown["awaiting"]:
                assert await person.send(game, turn, [])
    shown = await players[0].until(f"/{game}", lambda shown: shown["turn"] >= 1)
    assert (await players[0].do("GET", f"/{game}/turns/1/report")) is not None
