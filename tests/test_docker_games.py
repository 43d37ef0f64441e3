"""Games in containers: the backend is killed at calls to the daemon, and one engine a game is left (S-10 in short)."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
import pytest
from full_backend import Mailbox, Served
from hosted_games import Person, offered, rows, settings, start_game

from galaxy_engine.testing.dockerd import Dockerd, NoDockerError
from galaxy_engine.testing.fixtures import no_docker

ROOT = Path(__file__).parents[1]
IMAGE = "galaxy/game:tests"
NETWORK = "galaxy-engines-of-tests"
TURNS = "SELECT turn, count(*) FROM runtime_reports GROUP BY turn ORDER BY turn"
USED = "SELECT turn, count(used_digest) FROM runtime_orders GROUP BY turn ORDER BY turn"

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def build_game(docker_host: str) -> None:
    """Make the reference engine's image."""
    environment = {**os.environ, "DOCKER_HOST": docker_host, "DOCKER_BUILDKIT": "0"}
    base = [str(ROOT / "tools/docker/base-images.sh"), "python:3.11-slim-bookworm"]
    for command in (base, ["docker", "build", "--quiet", "--tag", IMAGE, str(ROOT / "game")]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            no_docker(f"{command[0]} failed: {done.stderr[-500:]}")


@pytest.fixture(scope="session")
def game_image(docker_host: str) -> str:
    """The reference engine as an image."""
    build_game(docker_host)
    return IMAGE


def start_again(daemon: Dockerd) -> None:
    """Start a daemon that was killed, as an init system does: again, while its former containerd is in the way."""
    for _ in range(4):
        try:
            return daemon.start()
        except NoDockerError as error:
            last = error
    raise last


@pytest.fixture
def mortal_daemon(docker_host: str, game_image: str) -> Iterator[Dockerd]:
    """A daemon for one test, which may kill it: with the images of the one that all others use."""
    with tempfile.TemporaryDirectory(prefix="galaxy-mortal-", ignore_cleanup_errors=True) as folder:
        daemon = Dockerd(Path(folder))
        try:
            daemon.start()
        except NoDockerError as error:
            no_docker(f"no second daemon can be started: {error}")
        saved = Path(folder) / "image.tar"
        for host, arguments in ((docker_host, ["save", "-o", saved]), (daemon.host, ["load", "-q", "-i", saved])):
            image = [game_image] if arguments[0] == "save" else []
            subprocess.run(["docker", "-H", host, *arguments, *image], check=True, capture_output=True, timeout=120)
        yield daemon
        start_again(daemon)  # what a killed one leaves behind is stopped by the next
        daemon.clear()


@pytest.fixture
async def daemon(docker_host: str) -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker(docker_host) as daemon:
        yield daemon


async def containers(daemon: aiodocker.Docker, stack: str) -> list[dict[str, Any]]:
    """Return the engines of a stack, those that have ended too."""
    found = await daemon.containers.list(all=True, filters={"label": [f"galaxy.stack={stack}"]})
    return [container._container for container in found]


async def converged(daemon: aiodocker.Docker, stack: str, games: int) -> list[dict[str, Any]]:
    """Wait until each game has one engine that runs, and nothing else is left."""
    async with asyncio.timeout(30):
        while True:
            found = await containers(daemon, stack)
            if len(found) == games and {each["State"] for each in found} == {"running"}:
                return found
            await asyncio.sleep(0.2)


def environment_of(mail: dict[str, str], host: str, stack: str) -> dict[str, str]:
    return {
        **mail,
        **settings(Path("/nowhere"), galaxy=Path(IMAGE)),
        "BACKEND_RUNTIME_DRIVER": "docker",
        "BACKEND_DOCKER_HOST": host,
        "BACKEND_DOCKER_NETWORK": NETWORK,
        "BACKEND_STACK_LABEL": stack,
        "BACKEND_ENGINEVERSION_VERSIONS": f"galaxy@1.0.0={IMAGE}",
    }


async def remove_all(daemon: aiodocker.Docker, stack: str) -> None:
    for each in await containers(daemon, stack):
        await daemon.containers.container(each["Id"]).delete(force=True)


@pytest.mark.usefixtures("game_image")
async def test_a_killed_backend_leaves_one_engine_a_game(docker_host: str) -> None:
    """Killed before, in and after calls to the daemon, the next process has one engine a game, within 30 seconds."""
    command = (sys.executable, "-m", "bench.endurance", "--short", "--json", "docker")
    pipe, environment = asyncio.subprocess.PIPE, os.environ | {"DOCKER_HOST": docker_host}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe)
    said, complaints = await process.communicate()
    assert said, complaints.decode()
    (verdict,) = json.loads(said)
    assert verdict["held"], verdict
    assert sum(verdict["kills"].values()) == 3


@pytest.mark.usefixtures("game_image")
async def test_a_game_is_played_in_a_container(
    empty_database: str,
    mail_environment: dict[str, str],
    mailbox: Mailbox,
    docker_host: str,
    daemon: aiodocker.Docker,
) -> None:
    """Turns run in a hardened container with our labels, each once, whether it is removed or it and the backend die."""
    stack = f"plays-{os.getpid()}"
    environment = environment_of(mail_environment, docker_host, stack)
    async with aiohttp.ClientSession() as client:
        replicas = [await Served(empty_database, environment).__aenter__()]
        try:
            people = [Person(name, client, replicas) for name in ("ada", "bob")]
            for person in people:
                await person.sign_in(mailbox)
            game = await start_game(people, "galaxy")
            for turn in range(6):
                if turn == 2:
                    for each in await containers(daemon, stack):
                        await daemon.containers.container(each["Id"]).delete(force=True)
                if turn == 4:
                    for each in await containers(daemon, stack):
                        await daemon.containers.container(each["Id"]).kill()
                assert await people[0].send(game, turn, [])
                sending = asyncio.create_task(people[1].send(game, turn, []))
                if turn == 4:
                    await replicas[0].kill()
                    await replicas[0].__aexit__()
                    replicas[0] = await Served(empty_database, environment).__aenter__()
                await sending
                await people[0].until(f"/{game}", lambda shown, now=turn: shown["turn"] > now)
            assert await rows(empty_database, TURNS) == [(turn, 2) for turn in range(7)]
            assert await rows(empty_database, USED) == [(turn, 2) for turn in range(6)]
            (engine,) = await converged(daemon, stack, 1)
            shown = await daemon.containers.container(engine["Id"]).show()
            labels, host = engine["Labels"], shown["HostConfig"]
            assert (labels["galaxy.backend"], labels["galaxy.game"], labels["galaxy.stack"]) == ("1", game, stack)
            assert int(labels["galaxy.generation"]) >= 3
            assert (host["CapDrop"], host["ReadonlyRootfs"], host["Memory"]) == (["ALL"], True, 256 * 1024 * 1024)
        finally:
            await replicas[0].__aexit__()
            await remove_all(daemon, stack)


async def test_games_go_on_after_their_daemon_was_killed(
    empty_database: str, mail_environment: dict[str, str], mailbox: Mailbox, mortal_daemon: Dockerd
) -> None:
    """Ten games run, the daemon dies by kill -9 and comes back: one engine a game, and turns, within 30 seconds."""
    stack, games = f"mortal-{os.getpid()}", 10
    environment = environment_of(mail_environment, mortal_daemon.host, stack)
    environment["BACKEND_DOCKER_NETWORK"] = f"galaxy-{stack}"  # by whose name the bridge is called that daemons share
    async with Served(empty_database, environment) as served, aiohttp.ClientSession() as client:
        person = Person("ada", client, [served])
        await person.sign_in(mailbox)
        await offered(person, "galaxy", patience=180)  # the first containers of a new daemon
        names = [await start_game([person], "galaxy", machines=1) for _ in range(games)]
        await asyncio.to_thread(mortal_daemon.kill)
        await asyncio.to_thread(start_again, mortal_daemon)
        async with asyncio.timeout(30):
            for name in names:
                assert await person.send(name, 0, [])
            for name in names:
                await person.until(f"/{name}", lambda shown: shown["turn"] > 0)
            async with aiodocker.Docker(mortal_daemon.host) as daemon:
                found = await converged(daemon, stack, games)
        assert {each["Labels"]["galaxy.game"] for each in found} == set(names)
    async with aiodocker.Docker(mortal_daemon.host) as daemon:
        await remove_all(daemon, stack)  # after the backend, which would start them again: they hold the network
