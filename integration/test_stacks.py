"""The stacks of `tools/`: started by their Makefiles, played on, cleaned up, and what is not theirs stays."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID

import docker
import pytest
from docker.errors import NotFound
from docker.models.containers import Container
from full_stack import images
from full_stack.sink import Mailpit, OwnSink

from galaxy_client import Galaxy
from galaxy_client.models import Challenge
from galaxy_engine.testing.fixtures import no_docker

TITLE = "org.opencontainers.image.title"


class Neighbours:
    """Things of others on the same daemon: each like ours in all but the stack's label."""

    def __init__(self, client: docker.DockerClient, stack: str, within: ExitStack) -> None:
        self._client = client
        mark = f"neighbour-of-{stack}"
        labels = {"galaxy.stack": mark, "galaxy.backend": "1", "com.docker.compose.service": "backend"}
        self._network = client.networks.create(mark, labels=labels)
        within.callback(self._network.remove)
        self._volume = client.volumes.create(mark, labels=labels)
        within.callback(self._volume.remove)
        options = {"labels": labels, "network": mark, "volumes": [f"{mark}:/data"]}
        self._running = client.containers.run(images.GAME.tag, detach=True, **options)
        within.callback(self._running.remove, force=True)
        self._ended = client.containers.run(images.GAME.tag, ["true"], detach=True, labels=labels)
        within.callback(self._ended.remove, force=True)
        self._plain = client.containers.run(images.GAME.tag, ["true"], detach=True)
        within.callback(self._plain.remove, force=True)

    def check(self) -> None:
        """Assert that all are as they were."""
        for container, state in ((self._running, "running"), (self._ended, "exited"), (self._plain, "exited")):
            container.reload()
            assert container.status == state
        self._network.reload()
        self._volume.reload()


class MadeStack:
    """A stack of a name of its own, on free ports, of the images that the scenarios use."""

    def __init__(self, folder: str, environment: Path, client: docker.DockerClient) -> None:
        self.label = f"integration-{os.getpid()}-{secrets.token_hex(4)}"
        self.environment, self._folder, self._client = environment, images.ROOT / "tools" / folder, client
        self.gateway, self.mail, *self._others = (str(port) for port in free_ports(4))

    def make(self, target: str) -> str:
        """Run a target of the stack's Makefile."""
        variables = {
            "STACK": self.label, "TAG": "integration", "BUILD": "no", "ENV_FILE": str(self.environment),
            "GATEWAY_PORT": self.gateway, "MAIL_PORT": self.mail,
            "BACKEND_PORT": self._others[0], "POSTGRES_PORT": self._others[1],
        }  # fmt: skip
        done = subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=self._folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"make {target}: {done.stdout[-2000:]}{done.stderr[-6000:]}"
        return done.stdout

    def made(self) -> dict[str, list[str]]:
        """Return the names of what carries the stack's label, by kind."""
        mine = {"label": f"galaxy.stack={self.label}"}
        found = {
            "containers": [each.name for each in self._client.containers.list(all=True, filters=mine)],
            "networks": [each.name for each in self._client.networks.list(filters=mine)],
            "volumes": [each.name for each in self._client.volumes.list(filters=mine)],
        }
        return {kind: sorted(names) for kind, names in found.items()}

    def engines(self, game: UUID) -> list[Container]:
        """Return the engines of a game; those of checks have games of their own."""
        wanted = [f"galaxy.stack={self.label}", f"galaxy.game={game}", f"{TITLE}=galaxy-game"]
        return list(self._client.containers.list(filters={"label": wanted}))


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that are free."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def client(built: None) -> Iterator[docker.DockerClient]:
    if (
        shutil.which("docker-compose") is None
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        no_docker("there is no Compose")
    with closing(docker.DockerClient.from_env()) as client:
        yield client


async def play(stack: MadeStack) -> UUID:
    """Have two people sign in by the codes of mails and start a game; return its id."""
    sink = Mailpit() if images.pulled(images.MAILPIT) else OwnSink()
    sink.url = f"http://127.0.0.1:{stack.mail}"

    async def code(challenge: Challenge) -> str:
        return await sink.code(challenge.email)

    address = f"http://127.0.0.1:{stack.gateway}"
    async with Galaxy(address) as ada, Galaxy(address) as bob:
        await asyncio.gather(ada.sign_in("ada@example.test", code), bob.sign_in("bob@example.test", code))
        game = await ada.create("Night", "galaxy@0.1.0", max_players=2, schedule={"interval": "1h"})
        await ada.open_enrolment(game.id)
        await ada.join(game.id)
        await bob.join(game.id)
        await ada.start(game.id)
        async with asyncio.timeout(60):
            while (await ada.game(game.id)).state != "running":
                await asyncio.sleep(0.2)
    return game.id


@pytest.mark.parametrize("folder", ["local-dev", "dev-deploy"])
async def test_stack(folder: str, client: docker.DockerClient, tmp_path: Path) -> None:
    """A stack starts, a game runs on it, each clean-up removes what is its own and nothing of others."""
    stack = MadeStack(folder, tmp_path / "secrets.env", client)
    with ExitStack() as within:
        neighbours = Neighbours(client, stack.label, within)
        within.callback(stack.make, "clean-data")
        if folder == "dev-deploy":
            left = client.containers.run(images.GAME.tag, ["true"], detach=True, labels={"galaxy.stack": stack.label})
            left.wait()
        stack.make("up")
        assert stack.environment.stat().st_mode & 0o777 == 0o600
        if folder == "dev-deploy":
            with pytest.raises(NotFound):
                left.reload()
        game = await play(stack)
        [engine] = stack.engines(game)
        reaches_neither_backend_nor_proxy(stack, client, engine)
        neighbours.check()
        stack.make("clean-engines")
        names = {name for name in stack.made()["containers"] if "backend" in name or "gateway" in name}
        assert len(names) == 2, "only engines are removed"
        neighbours.check()
        stack.make("down")
        assert stack.made() == {"containers": [], "networks": [], "volumes": [f"galaxy-{stack.label}-postgres"]}
        stack.make("clean-data")
        assert stack.made() == {"containers": [], "networks": [], "volumes": []}
        neighbours.check()


def reaches_neither_backend_nor_proxy(stack: MadeStack, client: docker.DockerClient, engine: Container) -> None:
    """Assert that an engine connects to the backend by no address, and that Postgres and the proxy have no name."""
    mine = {"label": [f"galaxy.stack={stack.label}", "com.docker.compose.service=backend"]}
    [backend] = client.containers.list(filters=mine)
    networks = backend.attrs["NetworkSettings"]["Networks"].values()
    hosts = [*(network["IPAddress"] for network in networks), "postgres", "docker-proxy"]
    script = """
import socket, sys
for host in sys.argv[1:]:
    for port in (8080, 8081, 5432, 2375):
        try:
            socket.create_connection((host, port), timeout=0.5)
        except OSError:
            continue
        sys.exit(f"reached {host}:{port}")
"""
    done = engine.exec_run(["python", "-c", script, *hosts])
    assert done.exit_code == 0, done.output
