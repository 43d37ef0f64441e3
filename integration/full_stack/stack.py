"""One isolated stack: its own networks, Postgres, Redis, mail sink, backends, gateways, and engines as they come."""

import asyncio
import os
import secrets
from base64 import b64encode
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.network import Network

from full_stack import images
from full_stack.sink import Mailpit, OwnSink, Sink
from galaxy_client import Galaxy
from galaxy_client.models import Challenge

testcontainers_config.ryuk_disabled = (
    True  # its image may not be here: the fixture `built` does what its container would
)

LABEL = "galaxy.stack"
"""The label of everything a stack makes, engines included; its value is `integration-<pid>-<random>`."""
PATIENCE = 120.0
"""Seconds in which a stack must be ready; what stands in for an image may be slow."""
ENGINE = "galaxy@1.0.0"
OPERATOR = "root"


@dataclass(frozen=True)
class Shape:
    """What a scenario wants of its stack."""

    backends: int = 1
    gateways: int = 1
    image: images.Image = images.BACKEND
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the backends, beside those of every stack."""
    gateway_settings: Mapping[str, str] = field(default_factory=dict)
    initdb: str = ""
    """Further options of Postgres' initdb."""
    files: Sequence[tuple[Path, str]] = ()
    """Files that the backends see, and where."""
    schema: Path | None = None
    """SQL that the database holds before any backend starts."""


class Service:
    """A container of the stack."""

    def __init__(self, name: str, container: DockerContainer, port: int) -> None:
        self.name, self._described, self._port = name, container, port

    @property
    def container(self) -> Container:
        """The Docker SDK's object."""
        return self._described.get_wrapped_container()

    @property
    def url(self) -> str:
        """Its address on this machine; another one after a restart."""
        self.container.reload()
        return f"http://127.0.0.1:{self.container.ports[f'{self._port}/tcp'][0]['HostPort']}"

    async def begin(self) -> None:
        """Create and start it."""
        await asyncio.to_thread(self._described.start)

    async def kill(self) -> None:
        """End it as a crash does."""
        await asyncio.to_thread(self.container.kill)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.container.start)

    async def ready(self) -> None:
        """Wait until its `/readyz` is 200."""
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as client:
            while not await _answers(client, self):
                await asyncio.sleep(0.1)

    def logs(self) -> str:
        """Return what it wrote."""
        return self.container.logs(tail=400).decode(errors="replace")


async def _answers(client: aiohttp.ClientSession, service: Service) -> bool:
    container = service.container
    await asyncio.to_thread(container.reload)
    if container.status == "exited":
        raise RuntimeError(f"{service.name} has ended:\n{service.logs()}")
    try:
        async with client.get(f"{service.url}/readyz", timeout=aiohttp.ClientTimeout(total=3)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, IndexError, KeyError):
        return False


class Operator:
    """Somebody with an admin account, at one backend."""

    def __init__(self, backend: Service, password: str) -> None:
        self._backend, self._password = backend, password

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask below `/api/v1/admin`; return status and document."""
        login = b64encode(f"{OPERATOR}:{self._password}".encode()).decode()
        # Also without a body: what a page of another site could send as a form is refused.
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.request(method, f"{self._backend.url}/api/v1/admin{path}", json=body) as answer,
        ):
            return answer.status, await answer.json() if answer.status != 204 else None

    async def get(self, path: str) -> Any:
        """Return what stands below `/api/v1/admin`."""
        status, document = await self.ask("GET", path)
        assert status == 200, document
        return document


class Stack:
    """A context manager: everything runs within, and is removed with it, engines included."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.label = f"integration-{os.getpid()}-{secrets.token_hex(4)}"
        self._labels = {LABEL: self.label}
        self._secret, self._gateway_token, self._password = (secrets.token_urlsafe(32) for _ in range(3))
        self._network = Network(docker_network_kw={"labels": self._labels})
        closed = {"internal": True, "labels": {**self._labels, "galaxy.isolation": "off"}}
        self._engines = Network(docker_network_kw=closed)
        self.mail: Sink = Mailpit() if images.pulled(images.MAILPIT) else OwnSink()
        self.postgres = self._service("postgres", images.POSTGRES, 5432, self._postgres(), "-c fsync=off")
        self.redis = self._service("redis", images.REDIS, 6379, {}, "redis-server --protected-mode no --save ''")
        sink = images.MAILPIT if isinstance(self.mail, Mailpit) else images.MAIL_SINK.tag
        self.sink = self._service("mail", sink, 8025, self.mail.environment, self.mail.command)
        self.backends = [self._backend(number) for number in range(1, shape.backends + 1)]
        self.gateways = [self._gateway(number) for number in range(1, shape.gateways + 1)]
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Bring it up; raise with the logs of what does not come up."""
        try:
            await self._up()
        except BaseException as error:
            error.add_note(self.logs())
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove it."""
        await self._clients.aclose()
        await asyncio.to_thread(self._down)

    async def sign_in(self, email: str, *, gateway: int = 0) -> Galaxy:
        """Sign in by the code from a mail, over a gateway; the client is closed with the stack."""
        client = await self._clients.enter_async_context(Galaxy(self.gateways[gateway].url))

        async def code(challenge: Challenge) -> str:
            return await self.mail.code(challenge.email)

        await client.sign_in(email, code, device_name="integration")
        return client

    async def operator(self, backend: int = 0) -> Operator:
        """Return somebody with an admin account, whose first password has been changed."""
        changed = f"{self._password}-changed"
        first = Operator(self.backends[backend], self._password)
        body = {"current_password": self._password, "new_password": changed}
        await first.ask("PUT", "/admins/me/password", body)
        return Operator(self.backends[backend], changed)

    def engine_containers(self, **labels: str) -> list[Container]:
        """Return the containers of this stack's engines."""
        wanted = [
            f"{LABEL}={self.label}",
            "galaxy.backend",
            *(f"galaxy.{name}={value}" for name, value in labels.items()),
        ]
        found: list[Container] = self.backends[0].container.client.containers.list(all=True, filters={"label": wanted})
        return found

    @contextmanager
    def tagged(self, image: str, name: str) -> Iterator[None]:
        """Let an image have another name within the block."""
        client = self.backends[0].container.client
        client.images.get(image).tag(name)
        try:
            yield
        finally:
            client.images.remove(name)

    def logs(self) -> str:
        """Return what backends and gateways wrote."""
        return "\n".join(f"== {service.name}\n{_logs(service)}" for service in (*self.backends, *self.gateways))

    async def _up(self) -> None:
        for network in (self._network, self._engines):
            await asyncio.to_thread(network.create)
        await _together(service.begin() for service in (self.postgres, self.redis, self.sink))
        self.mail.url = self.sink.url
        await self._database_answers()
        if self._shape.schema is not None:
            await self.sql(self._shape.schema.read_text())
        await _together(self._backend_up(backend) for backend in self.backends)
        await _together(gateway.begin() for gateway in self.gateways)
        await _together(gateway.ready() for gateway in self.gateways)

    async def _backend_up(self, backend: Service) -> None:
        await backend.begin()
        await asyncio.to_thread(self._engines.connect, backend.container.id)
        await backend.ready()

    async def _database_answers(self) -> None:
        async with asyncio.timeout(PATIENCE):
            # over TCP: what initialises a database first answers on its socket alone
            while (await self._psql("SELECT 1", "--host=127.0.0.1"))[0]:
                await asyncio.sleep(0.2)

    async def sql(self, text: str) -> str:
        """Run SQL in the stack's database, and return what psql shows."""
        status, said = await self._psql(text)
        assert status == 0, said
        return said

    async def _psql(self, text: str, *options: str) -> tuple[int, str]:
        script = [
            "sh",
            "-c",
            'printf %s "$SQL" | psql --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"',
            "sh",
        ]
        connection = ["--username=galaxy", "--dbname=galaxy", *options]
        environment = {"SQL": text, "PGPASSWORD": self._secret}
        done = await asyncio.to_thread(
            self.postgres.container.exec_run, [*script, *connection], environment=environment
        )
        return done.exit_code, done.output.decode(errors="replace").strip()

    def _down(self) -> None:
        client = DockerClient().client
        mine = {"label": f"{LABEL}={self.label}"}
        # Again until there are none: a backend starts and removes engines until it is gone itself.
        while found := client.containers.list(all=True, filters=mine):
            for container in found:
                with suppress(APIError):
                    container.remove(force=True, v=True)
        for network in client.networks.list(filters=mine):
            with suppress(APIError):  # what keeps it shows in the failure before
                network.remove()

    def _service(
        self, name: str, image: str, port: int, environment: Mapping[str, str], command: str = "", **options: Any
    ) -> Service:
        container = DockerContainer(
            image, network=self._network, network_aliases=[name], labels=self._labels, **options
        )
        container.with_envs(**environment).with_command(command or None)
        if options.get("read_only"):
            container.with_tmpfs_mount("/tmp")
        container.ports[f"{port}/tcp"] = ("127.0.0.1", None)
        return Service(name, container, port)

    def _postgres(self) -> dict[str, str]:
        return {
            "POSTGRES_USER": "galaxy",
            "POSTGRES_PASSWORD": self._secret,
            "POSTGRES_DB": "galaxy",
            "POSTGRES_INITDB_ARGS": self._shape.initdb,
        }

    def _backend(self, number: int) -> Service:
        socket = os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock"
        files = [(str(path), target, "ro") for path, target in self._shape.files]
        return self._service(
            f"backend-{number}",
            self._shape.image.tag,
            8080,
            {**self._backend_settings(), **self._shape.settings},
            volumes=[(socket, "/var/run/docker.sock", "rw"), *files],
            user="0:0",  # who may use the socket
            read_only=True,
        )

    def _backend_settings(self) -> dict[str, str]:
        return {
            "BACKEND_POSTGRES_DSN": f"postgres://galaxy:{self._secret}@postgres:5432/galaxy?search_path=backend",
            "BACKEND_SECRET_KEY": self._secret,
            "BACKEND_GATEWAY_TOKEN": self._gateway_token,
            "BACKEND_ADMIN_BOOTSTRAP_USER": OPERATOR,
            "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": self._password,
            "BACKEND_SMTP_HOST": "mail",
            "BACKEND_SMTP_PORT": "1025",
            "BACKEND_SMTP_TLS_MODE": "none",
            "BACKEND_SMTP_FROM": "galaxy@example.test",
            "BACKEND_NOTIFICATION_ADMIN_EMAIL": "operators@example.test",
            "BACKEND_NOTIFICATION_WORKER_INTERVAL": "1s",
            "BACKEND_DOCKER_NETWORK": self._engines.name,
            "BACKEND_STACK_LABEL": self.label,
            "BACKEND_ENGINEVERSION_VERSIONS": f"{ENGINE}={images.GAME.tag}",
            "BACKEND_OTEL_TRACES_EXPORTER": "none",
            "BACKEND_OTEL_METRICS_EXPORTER": "none",
        }

    def _gateway(self, number: int) -> Service:
        names = [backend.name for backend in self.backends]
        environment = {
            "GATEWAY_BACKEND_URL": ",".join(f"http://{name}:8080" for name in names),
            "GATEWAY_PUSH_ADDR": ",".join(f"{name}:8081" for name in names),
            "GATEWAY_TOKEN": self._gateway_token,
            "GATEWAY_REDIS_URL": "redis://redis:6379/0",
            "GATEWAY_OTEL_TRACES_EXPORTER": "none",
            "GATEWAY_OTEL_METRICS_EXPORTER": "none",
            **self._shape.gateway_settings,
        }
        return self._service(f"gateway-{number}", images.GATEWAY.tag, 8090, environment, read_only=True)


def _logs(service: Service) -> str:
    with suppress(NotFound, ContainerStartException):
        return service.logs()
    return "it never began"


async def _together(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run steps side by side, each to its end, and raise the first failure."""
    for outcome in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
