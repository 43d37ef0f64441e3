"""The command as a process, against a scripted server."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scripted_server import GAME_ID, LOST, Server, account, answer, game, problem, stream

TOKEN = "kZ8-very-secret"
SENT = {"challenge_id": GAME_ID, "expires_at": "2026-01-01T00:00:00Z"}
SIGNED_IN = {"session_token": TOKEN, "session_id": GAME_ID, "account": account()}


def page(*items: Any) -> dict[str, Any]:
    return {"items": items, "page": 1, "page_size": max(200, len(items)), "total": len(items)}


class Shell:
    """Runs `galaxy` with a configuration of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.started = home, list[Process]()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "TZ": "UTC",
            "COLUMNS": "120",
        }

    async def start(self, *arguments: str, stdin: Any = DEVNULL, stdout: Any = PIPE, **environment: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from galaxy_client.cli import main; main()", *arguments),
            env={**self.environment, **environment},
            stdin=stdin,
            stdout=stdout,
            stderr=PIPE,
        )
        self.started.append(process)
        return process

    async def __call__(self, *arguments: str, entered: str | None = None, **environment: str) -> tuple[int, str, str]:
        """Return exit status, output and errors."""
        stdin = DEVNULL if entered is None else PIPE
        process = await self.start(*arguments, stdin=stdin, **environment)
        out, err = await process.communicate(None if entered is None else entered.encode())
        assert process.returncode is not None
        assert TOKEN not in out.decode() + err.decode()
        assert "Traceback" not in err.decode(), err.decode()
        return process.returncode, out.decode(), err.decode()

    def sign_in(self, address: str) -> None:
        """Leave what `galaxy sign-in` leaves, without another process."""
        from galaxy_client.cli import files, tokens

        files.write(self.home / "config/galaxy/server.json", {"server": address})
        name = tokens._path(address).name
        files.write(self.home / "config/galaxy" / name, {"server": address, "token": TOKEN})


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """A shell of which nothing is left running."""
    shell = Shell(tmp_path)
    yield shell
    for process in shell.started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_sign_in_and_out(shell: Shell) -> None:
    """A wrong code may be entered again; the session serves later commands, without the address, until signing out."""
    session = {"id": GAME_ID, "device_name": "x", "current": True}
    session |= dict.fromkeys(("created_at", "last_seen_at", "expires_at"), "2026-01-01T00:00:00Z")
    script = [
        answer(202, SENT),
        problem(401, "code_wrong"),
        answer(201, SIGNED_IN),
        answer(200, page(game(my_turn=True, seat=1, next_turn_at="2026-11-29T12:00:00Z"))),
        answer(200, page(session)),
        answer(204),
    ]
    async with Server(script) as server:
        status, out, err = await shell(
            "sign-in", "ada@example.test", "--server", f"{server.address}/", entered="11111111\n12345678\n"
        )
        assert (status, f"Signed in to {server.address} as Ada" in out) == (0, True)
        assert "That code is wrong." in err
        status, out, _ = await shell("games")
        assert status == 0
        assert "your turn" in out
        assert "2026-11-29 12:00 UTC" in out
        assert await shell("sign-out") == (0, f"Signed out of {server.address}.\n", "")
        status, out, err = await shell("games")
    assert (status, out) == (3, "")
    assert f"not signed in to {server.address}" in err
    assert "galaxy sign-in EMAIL" in err
    bodies = [json.loads(each.body) for each in server.received[:3]]
    assert [each.get("code") for each in bodies] == [None, "11111111", "12345678"]
    assert server.received[3].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.received[5].method == "DELETE"


async def test_no_server_is_known(shell: Shell) -> None:
    """The way to name one is said; GALAXY_SERVER names one too."""
    status, _, err = await shell("games")
    assert (status, "no server is known yet" in err, "--server" in err) == (2, True, True)
    status, _, err = await shell("games", GALAXY_SERVER="http://games.example.org")
    assert (status, "not encrypted" in err) == (2, True)


async def test_no_code_is_entered(shell: Shell) -> None:
    """The end of the input ends signing in."""
    async with Server([answer(202, SENT)]) as server:
        status, _, err = await shell("sign-in", "ada@example.test", "--server", server.address, entered="")
    assert (status, "no code was entered" in err) == (1, True)


async def test_games_as_json(shell: Shell) -> None:
    """`--json` prints what the server says, for programs."""
    async with Server([answer(200, page(game()))]) as server:
        shell.sign_in(server.address)
        status, out, _ = await shell("games", "--json")
    assert status == 0
    assert [each["id"] for each in json.loads(out)] == [GAME_ID]


async def test_an_ended_session(shell: Shell) -> None:
    """401 asks to sign in again, with a status of its own."""
    async with Server([problem(401, "unauthenticated")]) as server:
        shell.sign_in(server.address)
        status, _, err = await shell("games")
    assert (status, "Sign in again" in err) == (3, True)


async def test_a_server_that_is_not_there(shell: Shell) -> None:
    """No connection has a status of its own, and says what to check."""
    async with Server([LOST]) as server:
        shell.sign_in(server.address)
    status, _, err = await shell("games")
    assert (status, "no connection to" in err, "--server" in err) == (4, True, True)


async def test_orders(shell: Shell, tmp_path: Path) -> None:
    """Orders come from a file or the input; what the engine refuses is said order by order."""
    refused = {"code": "orders_refused", "detail": "Refused.", "errors": [{"field": "orders.1", "message": "too far"}]}
    receipt = {"accepted": True, "turn": 3, "revision": 1, "final": True}
    file = tmp_path / "orders.json"
    file.write_text('[{"order": "a"}, {"order": "b"}]')
    script = [
        answer(200, page(game())),  # found by its name, in two scopes
        answer(422, refused),
        answer(200, receipt),
    ]
    async with Server(script) as server:
        shell.sign_in(server.address)
        status, _, err = await shell("orders", "andromeda", str(file), "--turn", "3")
        assert (status, "orders.1: too far" in err) == (1, True)
        status, out, _ = await shell("orders", GAME_ID, "-", "--final", "--turn", "3", entered='{"orders": []}')
    assert (status, out) == (0, "Accepted: 0 final orders for turn 3 (revision 1).\n")
    assert json.loads(server.received[2].body) == {"turn": 3, "orders": [], "final": True}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"[1,", "not JSON"), (b'{"order": 1}', "no list of orders"), (b"3", "no list of orders"), (b"\xff", "not UTF-8")],
    ids=["broken", "other members", "a number", "bytes"],
)
async def test_files_that_are_not_orders(shell: Shell, tmp_path: Path, content: bytes, reason: str) -> None:
    """They are wrong usage, and nothing is sent."""
    file = tmp_path / "orders.json"
    file.write_bytes(content)
    async with Server([answer(200, page())]) as server:
        shell.sign_in(server.address)
        status, _, err = await shell("orders", GAME_ID, str(file))
    assert (status, reason in err, server.received) == (2, True, [])


async def test_a_report_is_cleaned(shell: Shell) -> None:
    """An engine's text does not command the terminal."""
    script = [answer(200, game()), answer(200, {"text": "\x1b[2JTurn 3\r\nAll is well.", "data": {}})]
    async with Server(script) as server:
        shell.sign_in(server.address)
        status, out, _ = await shell("report", GAME_ID)
    assert (status, out) == (0, "\ufffd[2JTurn 3\nAll is well.\n")
    assert server.received[1].path.endswith("/turns/3/report")


@pytest.mark.parametrize("named", ["Andromeda", "01a2"])
async def test_a_name_for_several_games(shell: Shell, named: str) -> None:
    """They are listed, and none is chosen."""
    other = game(id="01a22152-0000-7068-8de8-b7a247f99ef3")
    async with Server([answer(200, page(game(), other))]) as server:
        shell.sign_in(server.address)
        status, _, err = await shell("start", named)
    assert (status, GAME_ID in err, other["id"] in err) == (2, True, True)
    assert len(server.received) == 1


async def test_watch(shell: Shell) -> None:
    """Events are printed as they come, one JSON object a line; Ctrl-C ends it without a word of Python."""
    hold = asyncio.Event()
    pieces = (b'id: g-1\nevent: lobby.turn_ready\ndata: {"turn": 4}\n\n', b"id: g-2\nevent: resync\ndata: {}\n\n")
    async with Server([stream(*pieces, hold=hold)]) as server:
        shell.sign_in(server.address)
        process = await shell.start("watch", "--json")
        assert process.stdout is not None
        lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert lines == [
        {"id": "g-1", "event": "lobby.turn_ready", "data": {"turn": 4}},
        {"id": "g-2", "event": "resync", "data": None},
    ]
    assert (process.returncode, err.strip()) == (130, b"")


async def test_ctrl_c_at_a_question(shell: Shell) -> None:
    """It ends the command at once, though the event loop waits for a person."""
    ours, theirs = os.openpty()
    async with Server([answer(202, SENT)]) as server:
        process = await shell.start("sign-in", "ada@example.test", "--server", server.address, stdin=theirs)
        assert process.stderr is not None
        await process.stderr.readuntil(b"Code: ")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, err.strip()) == (130, b"")


async def test_nobody_reads(shell: Shell) -> None:
    """A pipe that is closed early ends the command without a complaint."""
    many = [game(name=f"Game {number}") for number in range(3000)]
    async with Server([answer(200, page(*many))]) as server:
        shell.sign_in(server.address)
        reading, writing = os.pipe()
        process = await shell.start("games", stdout=writing)
        os.close(writing)
        assert await asyncio.to_thread(os.read, reading, 10)
        os.close(reading)
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_a_backend_without_events(shell: Shell) -> None:
    """`watch` says where events come from."""
    async with Server([problem(404, "not_found")]) as server:
        shell.sign_in(server.address)
        status, _, err = await shell("watch")
    assert (status, "gateway" in err) == (1, True)


async def test_play(shell: Shell) -> None:
    """Choices are picked by number or entered as JSON, checked, sent; the next report follows, and the result."""
    now = game(turn=0, seat=1, my_turn=True)
    over = game(
        turn=1, seat=1, state="finished", result={"winners": [1]}, seats=[{"seat": 1, "name": "Ada", "state": ""}]
    )
    script = [
        answer(200, now),
        answer(200, {"text": "Turn 0"}),
        answer(200, {"turn": 0, "orders": [], "revision": 0}),
        answer(200, {"turn": 0, "orders": [{"order": "a"}, {"order": "b"}], "complete": False}),
        answer(200, {"accepted": False, "errors": [{"index": 1, "code": "x", "message": "too far"}]}),
        answer(200, {"turn": 0, "revision": 1, "final": True}),
        answer(200, over),
        answer(200, {"text": "Turn 1"}),
    ]
    entered = "help\n2\n9\n" + '{"order": "c"}\n{\ndrop 1\n1 2\nlist\ncheck\ndone\n'
    async with Server(script) as server:
        shell.sign_in(server.address)
        status, out, err = await shell("play", GAME_ID, entered=entered)
    assert status == 0, err
    assert json.loads(server.received[5].body)["orders"] == [{"order": "c"}, {"order": "a"}, {"order": "b"}]
    assert "order 1: too far" in out
    assert out.index("Turn 0") < out.index("Turn 1") < out.index("Winner: Ada.")
    assert "not JSON" in err


async def test_play_without_options(shell: Shell) -> None:
    """Where the engine offers nothing that is said; the end of the input leaves the game as it is."""
    script = [
        answer(200, game(seat=1, my_turn=True)),
        answer(200, {"text": "Turn 3"}),
        answer(200, {"turn": 3, "orders": []}),
        problem(409, "options_unsupported"),
    ]
    async with Server(script) as server:
        shell.sign_in(server.address)
        status, _, err = await shell("play", GAME_ID, entered="")
    assert (status, "does not pass suggestions on" in err, "Orders that were sent stay" in err) == (0, True, True)


async def test_without_the_extra(shell: Shell) -> None:
    """Where the command's packages are not installed, the extra is named."""
    hidden = "import sys; sys.modules['typer'] = None; from galaxy_client.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", hidden, env=shell.environment, stdout=PIPE, stderr=PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"galaxy-backend-client[cli]" in err
