"""The daemon away and back, hanging, and not a daemon at all."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import image
import pytest
from hosts import DockerHost, a_spec, ended

from galaxy_engine.drivers.docker import DockerDriver, default_host
from galaxy_engine.drivers.driver import EngineDriver, EngineId, EngineSpec
from galaxy_engine.failures import ConfigInvalid, HostUnreachable
from galaxy_engine.testing.dockerd import Dockerd, NoDockerError
from galaxy_engine.testing.fixtures import no_docker

AT_ONCE = timedelta(0)
HANDLE = "0123456789abcdef" * 4


def calls(driver: EngineDriver, host_image: str) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return each call to a host by its name."""

    async def watch() -> None:
        async for _ in driver.watch():
            pass

    owner = driver._owner  # type: ignore[attr-defined]
    spec = EngineSpec(EngineId(owner, uuid4(), 1), host_image, {})
    return {
        "check": driver.check,
        "prepare": lambda: driver.prepare(host_image, "if_missing"),
        "pull": lambda: driver.prepare("127.0.0.1:1/a:1", "always"),
        "launch": lambda: driver.launch(spec),
        "remove": lambda: driver.remove(HANDLE, AT_ONCE),
        "observe": driver.observe,
        "watch": watch,
        "logs": lambda: driver.logs(HANDLE, 100),
    }


async def all_unreachable(driver: EngineDriver, host_image: str) -> None:
    """Assert that each call says that the host does not answer."""
    for name, call in calls(driver, host_image).items():
        with pytest.raises(HostUnreachable):
            await call()
            pytest.fail(f"{name} answered")


@pytest.fixture
def dockerd(docker_images: dict[str, str]) -> Iterator[Dockerd]:
    """A second daemon, which a test may stop: the machine has one already, so one more will run."""
    daemon = Dockerd(Path(tempfile.mkdtemp(prefix="galaxy-dockerd-")), apart=True)
    try:
        if shutil.which("dockerd") is None or shutil.which("unshare") is None:
            no_docker("a second daemon needs dockerd and unshare")
        try:
            daemon.start()
        except NoDockerError as error:
            no_docker(f"a second daemon cannot be started: {error}")
        yield daemon
    finally:
        daemon.clear()


@pytest.fixture
async def second(dockerd: Dockerd) -> AsyncIterator[DockerHost]:
    """The second daemon as a place for engines."""
    images = await image.make_all(dockerd.host, str(image.busybox()), {"engine"})
    host = DockerHost(dockerd.host, "engines", images)
    yield host
    await host.close()


@pytest.mark.docker
async def test_daemon_away_and_back(dockerd: Dockerd, second: DockerHost) -> None:
    """While the daemon is away every call says so; when it is back the same driver sees what became of its engines."""
    driver = second.driver()
    spec = a_spec(second)
    engine = await driver.launch(spec)
    await asyncio.to_thread(dockerd.stop)
    await all_unreachable(driver, second.image)
    await asyncio.to_thread(dockerd.start)
    seen = await ended(driver, engine)
    assert seen.exit_code in {137, 143}
    assert await driver.launch(spec) == seen
    await driver.remove(engine.handle, AT_ONCE)
    assert (await driver.launch(a_spec(second))).state == "running"
    await driver.close()


@pytest.mark.docker
async def test_watching_ends_with_the_daemon(dockerd: Dockerd, second: DockerHost) -> None:
    """A watcher's stream ends when the daemon does, and a new one works as soon as it is back."""
    driver = second.driver()
    hints = driver.watch()
    first = asyncio.ensure_future(anext(hints, None))
    await driver.observe()
    await asyncio.to_thread(dockerd.stop)
    with contextlib.suppress(HostUnreachable):
        assert await first is None
    await asyncio.to_thread(dockerd.start)
    again = driver.watch()
    hint = asyncio.ensure_future(anext(again))
    while not hint.done():
        engine = await driver.launch(a_spec(second))
        await driver.remove(engine.handle, AT_ONCE)
    assert hint.exception() is None
    await again.aclose()  # type: ignore[attr-defined]
    await driver.close()


@pytest.mark.docker
async def test_daemon_that_hangs(dockerd: Dockerd, second: DockerHost) -> None:
    """A daemon that takes connections and answers nothing is away, after the time limit; then it goes on."""
    driver = second.driver(timeout=timedelta(seconds=0.3), patience=timedelta(seconds=0.3))
    patient = second.driver()
    engine = await patient.launch(a_spec(second))
    await driver.observe()
    dockerd.pause()
    await all_unreachable(driver, second.image)
    dockerd.resume()
    assert engine in await patient.observe()
    await driver.close()
    await patient.close()


async def test_no_daemon(tmp_path: Path) -> None:
    """Where nothing listens, every call says so."""
    for host in (f"unix://{tmp_path}/docker.sock", "tcp://127.0.0.1:1"):
        driver = DockerDriver(str(uuid4()), host, "engines")
        await all_unreachable(driver, "image:1")
        await driver.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{"a":',
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
    ids=["page", "half", "other", "proxy", "error", "ssh", "nothing"],
)
async def test_not_a_daemon(tmp_path: Path, answer: bytes) -> None:
    """What answers without being a daemon is as good as none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    socket = tmp_path / "docker.sock"
    server = await asyncio.start_unix_server(serve, socket)
    driver = DockerDriver(str(uuid4()), f"unix://{socket}", "engines")
    await all_unreachable(driver, "image:1")
    await driver.close()
    server.close()
    await server.wait_closed()


async def test_address_that_is_none() -> None:
    """An address that cannot be a daemon's is a fault of the configuration."""
    driver = DockerDriver(str(uuid4()), "docker.example", "engines")
    with pytest.raises(ConfigInvalid, match=r"docker\.example"):
        await driver.check()
    await driver.close()


def test_default_host() -> None:
    """The daemon is looked for where the command docker does."""
    assert default_host({}) == "unix:///var/run/docker.sock"
    assert default_host({"DOCKER_HOST": "tcp://127.0.0.1:2375"}) == "tcp://127.0.0.1:2375"
