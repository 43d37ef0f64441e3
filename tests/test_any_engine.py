"""Any engine that speaks the contract is hosted as it is: the examples, and shapes of games that ours does not have."""

import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from full_backend import Mailbox, Served
from hosted_games import Person, settings, start_game

EXAMPLES = Path(__file__).parents[1] / "engine" / "examples"

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


@pytest.mark.slow
async def test_seats_that_move_one_after_the_other_and_in_phases(
    empty_database: str, mail_environment: dict[str, str], mailbox: Mailbox, tmp_path: Path
) -> None:
    """Two people play a game in which one seat is awaited a turn, then seven one in phases that await some of them.

    Sets are empty, reports have no text, two win; who is not awaited is told so, and not waited for.
    """
    engine = executable(tmp_path / "shapes", SHAPES.format(python=sys.executable))
    environment = {**mail_environment, **settings(tmp_path / "run", shapes=engine)}
    async with Served(empty_database, environment) as served, aiohttp.ClientSession() as client:
        people = [Person(name, client, [served]) for name in ("ada", "bob", "cleo", "dora", "emil", "fay", "gus")]
        for person in people:
            await person.sign_in(mailbox)
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


@pytest.mark.slow
@pytest.mark.parametrize("example", ["node/nim.mjs", "python/auction.py"])
async def test_the_examples_are_hosted(
    empty_database: str, mail_environment: dict[str, str], mailbox: Mailbox, tmp_path: Path, example: str
) -> None:
    """Each example of the guide is played for some turns by people who send empty sets."""
    interpreter = shutil.which("node") if example.startswith("node") else sys.executable
    if interpreter is None:
        pytest.skip("there is no node here")
    flags = "--jitless " if example.startswith("node") else ""
    script = f'#!/bin/sh\nexec {interpreter} {flags}"{EXAMPLES / example}"\n'
    engine = executable(tmp_path / "example", script)
    environment = {
        **mail_environment,
        **settings(tmp_path / "run", example=engine),
        "BACKEND_RUNTIME_MEMORY": "1GiB",
    }
    async with Served(empty_database, environment) as served, aiohttp.ClientSession() as client:
        people = [Person(name, client, [served]) for name in ("ada", "bob")]
        for person in people:
            await person.sign_in(mailbox)
        game = await start_game(people, "example")
        for turn in range(3):
            shown = await people[0].until(f"/{game}", lambda shown, now=turn: shown["turn"] == now)
            if shown["state"] == "finished":
                break
            for person in people:
                if person.seat in shown["awaiting"]:
                    assert await person.send(game, turn, [])
        shown = await people[0].until(f"/{game}", lambda shown: shown["turn"] >= 1)
        assert (await people[0].do("GET", f"/{game}/turns/1/report")) is not None
