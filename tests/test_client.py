"""The Python client and the command `galaxy` against a real backend."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from full_backend import Mailbox, Served
from hosted_games import REFERENCE_ENGINE, settings

from galaxy_client import ConflictError, Galaxy, InvalidError, NotFoundError, UnauthorizedError
from galaxy_client.models import Challenge, Game

pytestmark = pytest.mark.slow
GALAXY = Path(sys.executable).parent / "galaxy"


def base_url(served: Served) -> str:
    """Return the address that clients are given."""
    return served.url


@pytest.fixture
async def served(empty_database: str, mail_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Served]:
    environment = {**mail_environment, **settings(tmp_path / "run", galaxy=REFERENCE_ENGINE)}
    async with Served(empty_database, environment) as running:
        yield running


async def signed_in(stack: AsyncExitStack, served: Served, mailbox: Mailbox, name: str) -> Galaxy:
    """Return the client of a person who has signed in, under their name."""
    client = await stack.enter_async_context(Galaxy(base_url(served)))

    async def code(challenge: Challenge) -> str:
        return await mailbox.code_to(challenge.email)

    await client.sign_in(f"{name.lower()}@example.test", code, device_name="test")
    await client.change_account(display_name=name)
    return client


async def engine_known(client: Galaxy) -> str:
    """Wait until the backend has looked at its engine, and return the version's name."""
    while True:
        for version in await client.engine_versions():
            if version.players is not None:
                return version.name


async def move(client: Galaxy, game: Game) -> None:
    """Send everything from each planet to its first target, judged first, by revision."""
    options = await client.options(game.id)
    orders = [
        {"order": "send", "from": base["planet"], "to": base["targets"][0]["planet"], "ships": base["ships"]}
        for base in options.data["planets"]
        if base["ships"]
    ]
    verdict = await client.validate(game.id, orders, turn=options.turn)
    assert verdict.accepted, verdict
    draft = await client.send(game.id, orders, turn=options.turn)
    receipt = await client.send(game.id, orders, final=True, if_match=draft.revision, turn=options.turn)
    assert (receipt.revision, receipt.final) == (draft.revision + 1, True)


async def test_a_whole_game(served: Served, mailbox: Mailbox) -> None:
    """Two people play each other and two machine players through the client until there is a result."""
    async with AsyncExitStack() as stack:
        ada = await signed_in(stack, served, mailbox, "Ada")
        bob = await signed_in(stack, served, mailbox, "Bob")
        version = await engine_known(ada)
        game = await ada.create(
            "Andromeda", version, max_players=4, schedule={"interval": "1d"}, run_when_final=True, visibility="private"
        )
        await ada.open_enrolment(game.id)
        await ada.join(game.id)
        with pytest.raises(NotFoundError):
            await bob.game(game.id)
        await ada.invite(game.id, email="bob@example.test")
        (invitation,) = await bob.invitations()
        assert (invitation.game, invitation.inviter) == ("Andromeda", "Ada")
        await bob.accept(invitation.id)
        assert (await ada.machines(game.id, 2)).state == "ready"
        await ada.start(game.id)
        game = await ada.until(game.id, lambda shown: shown.state == "running", every=0.1)
        assert game.schedule.interval == "1d"
        assert [each.machine for each in game.seats].count(True) == 2
        last = await _play(ada, bob, game)
        assert last.state == "finished"
        assert last.result is not None
        turns = await ada.turns(game.id)
        assert (turns.total, turns.items[0].turn, turns.items[0].finished) == ((last.turn or 0) + 1, last.turn, True)
        assert (await ada.games("ended")).total == 1
        assert f"Turn {last.turn}" in str((await ada.report(game.id)).text)
        with pytest.raises(NotFoundError):
            await bob.report(game.id)  # who has resigned reads no more reports
        with pytest.raises(ConflictError, match="game_ended"):
            await bob.orders(game.id)


async def _play(ada: Galaxy, bob: Galaxy, game: Game) -> Game:
    """Play to the end: one plays on, the other resigns after three turns."""
    turn = 0
    while True:
        shown = await ada.game(game.id)
        if shown.ended:
            return shown
        if turn == 3:
            await bob.resign(game.id)
        for client in (ada, bob):
            if (await client.game(game.id)).my_turn:
                await move(client, shown)
        shown = await ada.until(game.id, partial(_moved_on, turn), every=0.05)
        turn = shown.turn or 0


def _moved_on(turn: int, game: Game) -> bool:
    return game.ended or (game.turn or 0) > turn


async def test_refusals(served: Served, mailbox: Mailbox) -> None:
    """What the server refuses comes with its code, the fields and the request's id; a session that ended is over."""
    async with AsyncExitStack() as stack:
        ada = await signed_in(stack, served, mailbox, "Ada")
        version = await engine_known(ada)
        with pytest.raises(InvalidError) as refused:
            await ada.create("A", version, max_players=0, schedule={"interval": "1ms"})
        assert refused.value.code == "invalid_request"
        assert {each.field for each in refused.value.fields} >= {"max_players"}
        assert refused.value.request_id
        same = [
            await ada.create("B", version, max_players=2, schedule={"interval": "1d"}, idempotency_key='a "key"')
            for _ in range(2)
        ]
        assert same[0].id == same[1].id
        with pytest.raises(ConflictError, match="game_not_enrolling"):
            await ada.join(same[0].id)
        token = ada.token
        assert [each.device_name for each in await ada.sessions()] == ["test"]
        await ada.sign_out()
        await ada.sign_out()
        former = await stack.enter_async_context(Galaxy(base_url(served), token))
        with pytest.raises(UnauthorizedError) as ended:
            await former.account()
        assert str(token) not in f"{ended.value!r} {former!r} {ended.getrepr(showlocals=False)}"


class Shell:
    """Runs `galaxy` as a person does, with a home of their own and no keyring."""

    def __init__(self, home: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(str(GALAXY), *arguments), env=self._environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    async def __call__(self, *arguments: str, entered: str = "", status: int = 0) -> str:
        """Return the output of a command that must end with this status."""
        process = await self.start(*arguments)
        out, err = await process.communicate(entered.encode())
        assert process.returncode == status, (arguments, out.decode(), err.decode())
        return out.decode() if status == 0 else err.decode()


async def test_the_command(served: Served, mailbox: Mailbox, tmp_path: Path) -> None:
    """A person signs in, sets up a game against machine players, and plays two turns, by `galaxy` alone."""
    galaxy = Shell(tmp_path / "ada")
    signing_in = await galaxy.start("sign-in", "ada@example.test", "--server", base_url(served))
    out, _ = await signing_in.communicate((await mailbox.code_to("ada@example.test")).encode())
    assert signing_in.returncode == 0, out
    async with AsyncExitStack() as stack:
        await engine_known(await signed_in(stack, served, mailbox, "Bob"))
    new = ("new", "The long night", "--players", "3", "--machines", "2", "--when-final", "--option", "planets=4")
    game = json.loads(await galaxy(*new, "--json"))
    assert (game["state"], game["options"]) == ("ready", {"planets": 4})
    assert "it is ready" in await galaxy("orders", "The long night", status=1)
    assert "is running" in await galaxy("start", "the long night")
    assert "your turn" in await galaxy("games")
    report = json.loads(await galaxy("report", game["id"], "--turn", "0", "--json"))
    home = report["data"]["planets"][0]["number"]
    bad = f'[{{"order": "send", "from": {home}, "to": {home}, "ships": 1}}]'
    assert "order 0" in await galaxy("orders", game["id"], "-", "--check", entered=bad, status=1)
    assert "orders.0" in await galaxy("orders", game["id"], "-", entered=bad, status=1)
    played = await galaxy("play", game["id"], entered="1\ncheck\ndone\nsend\nquit\n")
    assert "would accept" in played
    assert played.index("1 final orders for turn 0") < played.index("0 orders for turn 1")
    assert "sent" in await galaxy("orders", game["id"])
    assert "gateway" in await galaxy("watch", status=1)
    await galaxy("sign-out")
    assert "not signed in" in await galaxy("games", status=3)
