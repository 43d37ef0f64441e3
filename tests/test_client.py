"""The Python client and the command `galaxy` through a real gateway to a real backend."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from full_backend import Mailbox, Served, receiving
from hosted_games import REFERENCE_ENGINE, settings

from galaxy_client import ConflictError, Galaxy, InvalidError, NotFoundError, Resync, UnauthorizedError
from galaxy_client.models import Challenge, Game
from galaxy_devkit.dev import edge
from galaxy_devkit.testing import GATEWAY_TOKEN, PostgresCluster

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
GALAXY = Path(sys.executable).parent / "galaxy"


class Edge:
    """A gateway before a backend, which may be restarted at its address."""

    def __init__(self, backend: Served, push: str) -> None:
        self._overlay = {
            **edge.environment("127.0.0.1:0", backend.url, push, GATEWAY_TOKEN),
            "GATEWAY_STREAM_RETRY": "100ms",
        }
        self._running = AsyncExitStack()
        self.address = ""

    async def start(self) -> None:
        """Begin to serve."""
        address = await self._running.enter_async_context(edge.running(self._overlay))
        self._overlay["GATEWAY_LISTEN_ADDR"], self.address = address, f"http://{address}"

    async def stop(self) -> None:
        """End as a deployment does it: streams are closed."""
        await self._running.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mailbox() -> AsyncIterator[Mailbox]:
    async with receiving() as box:
        yield box


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    postgres_cluster: PostgresCluster, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Edge]:
    """One backend and gateway for the tests of this file: each has people of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        push = f"127.0.0.1:{probe.getsockname()[1]}"
    engines = settings(tmp_path_factory.mktemp("run"), galaxy=REFERENCE_ENGINE)
    dsn = postgres_cluster.clone()
    async with Served(dsn, {**mailbox.environment, **engines, "BACKEND_PUSH_LISTEN_ADDR": push}) as backend:
        started = Edge(backend, push)
        await started.start()
        yield started
        await started.stop()
    postgres_cluster.drop(dsn)


async def signed_in(stack: AsyncExitStack, gateway: Edge, mailbox: Mailbox, name: str) -> Galaxy:
    """Return the client of a person who has signed in, under their name."""
    client = await stack.enter_async_context(Galaxy(gateway.address))

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
        await asyncio.sleep(0.1)


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


async def test_a_whole_game(gateway: Edge, mailbox: Mailbox) -> None:
    """Two people play each other and two machine players until there is a result; the gateway restarts in the middle.

    The turns are announced in order, none twice, and none is missing unless the stream says so.
    """
    async with AsyncExitStack() as stack:
        ada = await signed_in(stack, gateway, mailbox, "Ada")
        bob = await signed_in(stack, gateway, mailbox, "Bob")
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
        told = asyncio.create_task(_turns_told(ada))
        await ada.start(game.id)
        game = await ada.until(game.id, lambda shown: shown.state == "running", every=0.1)
        assert game.schedule.interval == "1d"
        assert [each.machine for each in game.seats].count(True) == 2
        last = await _play(ada, bob, game, gateway)
        turns_told, resynced = await told
        assert turns_told == sorted(set(turns_told))
        assert resynced or turns_told[-5:] == [1, 2, 3, 4, 5]  # later ones her own orders run, which is not announced
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


async def _play(ada: Galaxy, bob: Galaxy, game: Game, gateway: Edge) -> Game:
    """Play to the end: one plays on, the other resigns after five turns."""
    turn = 0
    while True:
        shown = await ada.game(game.id)
        if shown.ended:
            return shown
        if turn == 2:
            await gateway.stop()
            await gateway.start()
        if turn == 5:
            await bob.resign(game.id)
        for client in (ada, bob):
            if (await client.game(game.id)).my_turn:
                await move(client, shown)
        shown = await ada.until(game.id, partial(_moved_on, turn), every=0.05)
        turn = shown.turn or 0


async def _turns_told(client: Galaxy) -> tuple[list[int], bool]:
    """Return the turns that were announced until the game was over, and whether any may be missing."""
    turns: list[int] = []
    resynced = False
    async with asyncio.timeout(120), aclosing(client.events()) as events:
        async for event in events:
            if isinstance(event, Resync):
                resynced = True
            elif event.kind == "lobby.turn_ready":
                turns.append(event.data["turn"])
            elif event.kind == "lobby.finished":
                break
    return turns, resynced


def _moved_on(turn: int, game: Game) -> bool:
    return game.ended or (game.turn or 0) > turn


async def test_refusals(gateway: Edge, mailbox: Mailbox) -> None:
    """What the server refuses comes with its code, the fields and the request's id; a session that ended is over."""
    async with AsyncExitStack() as stack:
        cleo = await signed_in(stack, gateway, mailbox, "Cleo")
        version = await engine_known(cleo)
        with pytest.raises(InvalidError) as refused:
            await cleo.create("A", version, max_players=0, schedule={"interval": "1ms"})
        assert refused.value.code == "invalid_request"
        assert {each.field for each in refused.value.fields} >= {"max_players"}
        assert refused.value.request_id
        same = [
            await cleo.create("B", version, max_players=2, schedule={"interval": "1d"}, idempotency_key='a "key"')
            for _ in range(2)
        ]
        assert same[0].id == same[1].id
        with pytest.raises(ConflictError, match="game_not_enrolling"):
            await cleo.join(same[0].id)
        token = cleo.token
        assert [each.device_name for each in await cleo.sessions()] == ["test"]
        await cleo.sign_out()
        await cleo.sign_out()
        former = await stack.enter_async_context(Galaxy(gateway.address, token))
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

    def token(self) -> str:
        """Return the token that was kept."""
        (path,) = Path(self._environment["XDG_CONFIG_HOME"]).glob("galaxy/token-*.json")
        return str(json.loads(path.read_text())["token"])

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


async def test_the_command(gateway: Edge, mailbox: Mailbox, tmp_path: Path) -> None:
    """A person signs in, sets up a game against machine players, and plays two turns, by `galaxy` alone."""
    galaxy = Shell(tmp_path / "dora")
    signing_in = await galaxy.start("sign-in", "dora@example.test", "--server", gateway.address)
    out, _ = await signing_in.communicate((await mailbox.code_to("dora@example.test")).encode())
    assert signing_in.returncode == 0, out
    async with AsyncExitStack() as stack:
        await engine_known(await signed_in(stack, gateway, mailbox, "Emil"))
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
    told = await _watched(galaxy, game["id"], gateway)
    assert (told["event"], told["data"]["game_id"]) == ("lobby.turn_ready", game["id"])
    await galaxy("sign-out")
    assert "not signed in" in await galaxy("games", status=3)


async def _watched(shell: Shell, game: str, gateway: Edge) -> Any:
    """Return what `galaxy watch` prints of a forced turn: forced again until the command has connected."""
    watching = await shell.start("watch", "The long night", "--json")
    assert watching.stdout is not None
    try:
        line = asyncio.create_task(watching.stdout.readline())
        async with asyncio.timeout(60), Galaxy(gateway.address, shell.token()) as client:
            while not line.done():
                with suppress(ConflictError):  # the last one still runs
                    await client.force_next_turn(game)
                await asyncio.wait({line}, timeout=1)
        watching.send_signal(signal.SIGINT)
        _, err = await watching.communicate()
    finally:
        if watching.returncode is None:
            watching.kill()
            await watching.communicate()
    assert (watching.returncode, err.strip()) == (130, b"")
    return json.loads(line.result())
