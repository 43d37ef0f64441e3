"""Pull policies, against a real registry on the loopback."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import uuid4

import aiodocker
import image
import msgspec
import pytest
from hosts import DockerHost, a_spec
from registry import Relay

from galaxy_engine.drivers.docker import DockerDriver
from galaxy_engine.failures import ConfigInvalid, ImageNotFound, PullFailed
from galaxy_engine.testing import registry as registries
from galaxy_engine.testing.fixtures import no_docker

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def registry(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a registry."""
    program = shutil.which("docker-registry")
    if program is None:
        no_docker("pulls are tested against docker-registry, which is not installed")
    process, port = registries.start(str(program), tmp_path_factory.mktemp("registry"))
    yield port
    process.terminate()
    process.wait()


@pytest.fixture
async def relay(registry: int) -> AsyncIterator[Relay]:
    """What stands before the registry, at a port of its own."""
    relay = Relay(registry)
    await relay.start()
    yield relay
    await relay.stop()


class Shelf:
    """Images in the registry and here, under one name."""

    def __init__(self, host: DockerHost, registry: int, relay: int) -> None:
        self.host = host
        self.name = f"galaxy-test/{uuid4().hex[:8]}"
        self.pushed = f"127.0.0.1:{registry}/{self.name}"
        self.repository = f"127.0.0.1:{relay}/{self.name}"
        self.image = f"{self.repository}:1"

    async def push(self, contents: bytes) -> str:
        """Put another image under the name in the registry, and none here. Return its digest."""
        unique = self.name.encode() + contents  # a layer that another test has here would not be pulled
        tar = image.root(str(image.busybox()), extra=unique)
        await image.make(self.host.docker, tar, f"{self.pushed}:1", image.VARIANTS["engine"])
        await self.host.docker.images.push(self.pushed, tag="1")
        info = await self.host.docker.images.inspect(f"{self.pushed}:1")
        [digest] = [digest for digest in info["RepoDigests"] if digest.startswith(self.pushed)]
        await self.host.docker.images.delete(f"{self.pushed}:1", force=True)
        return str(digest).partition("@")[2]

    async def forget(self) -> None:
        """Have the image here no more."""
        for listed in await self.host.docker.images.list():
            for name in [*(listed.get("RepoTags") or ()), *(listed.get("RepoDigests") or ())]:
                if self.name in name:
                    try:
                        await self.host.docker.images.delete(name, force=True)
                    except aiodocker.DockerError as error:
                        assert error.status == 404  # went with another name of it


@pytest.fixture
async def shelf(host: DockerHost, registry: int, relay: Relay) -> AsyncIterator[Shelf]:
    shelf = Shelf(host, registry, relay.port)
    yield shelf
    await shelf.forget()


async def test_pulled_if_missing(driver: DockerDriver, shelf: Shelf) -> None:
    """What is missing is pulled, its digest noted, and it can be launched, by tag and by digest."""
    digest = await shelf.push(b"one")
    prepared = await driver.prepare(shelf.image, "if_missing")
    assert prepared.digest == f"{shelf.repository}@{digest}"
    assert prepared.size is not None
    assert prepared.size > 1_000_000
    for name in (shelf.image, prepared.digest):
        spec = msgspec.structs.replace(a_spec(shelf.host), image=name)
        assert (await driver.launch(spec)).image == name
    for engine in await driver.observe():
        await driver.remove(engine.handle, timedelta(0))


async def test_pulled_by_digest(driver: DockerDriver, shelf: Shelf) -> None:
    """A reference by digest is pulled by digest."""
    digest = await shelf.push(b"one")
    await shelf.push(b"two")
    prepared = await driver.prepare(f"{shelf.image}@{digest}", "if_missing")
    assert prepared.digest == f"{shelf.repository}@{digest}"


async def test_never_pulled(driver: DockerDriver, shelf: Shelf, relay: Relay) -> None:
    """Under `never` the registry is not asked."""
    await shelf.push(b"one")
    with pytest.raises(ImageNotFound):
        await driver.prepare(shelf.image, "never")
    assert relay.manifests == 0


async def test_tag_that_moved(driver: DockerDriver, shelf: Shelf) -> None:
    """What is here stays under `if_missing`, and follows its tag under `always`."""
    first = await shelf.push(b"one")
    assert (await driver.prepare(shelf.image, "if_missing")).digest == f"{shelf.repository}@{first}"
    second = await shelf.push(b"two")
    assert (await driver.prepare(shelf.image, "if_missing")).digest == f"{shelf.repository}@{first}"
    assert (await driver.prepare(shelf.image, "always")).digest == f"{shelf.repository}@{second}"
    assert (await driver.prepare(shelf.image, "always")).digest == f"{shelf.repository}@{second}", "up to date"


@pytest.mark.parametrize("policy", ["if_missing", "always"])
async def test_missing_image_and_missing_tag(driver: DockerDriver, shelf: Shelf, policy: str) -> None:
    """What the registry does not have is `image_not_found`."""
    await shelf.push(b"one")
    for name in (
        f"{shelf.repository}-missing:1",
        f"{shelf.repository}:missing",
        f"{shelf.repository}@sha256:{64 * '0'}",
    ):
        with pytest.raises(ImageNotFound, match=re.escape(name)) as caught:
            await driver.prepare(name, policy)  # type: ignore[arg-type]
        assert caught.value.detail


@pytest.mark.parametrize("policy", ["if_missing", "always"])
async def test_unreachable_registry(driver: DockerDriver, policy: str) -> None:
    """A registry that is away is `pull_failed`."""
    with pytest.raises(PullFailed, match="127.0.0.1:1/missing") as caught:
        await driver.prepare("127.0.0.1:1/missing:1", policy)  # type: ignore[arg-type]
    assert "refused" in caught.value.detail


async def test_local_copy_is_no_success_under_always(driver: DockerDriver, shelf: Shelf, relay: Relay) -> None:
    """Under `always` a copy that is here does not help, whether the registry is away or has it no more."""
    digest = await shelf.push(b"one")
    await driver.prepare(shelf.image, "if_missing")
    await relay.stop()
    with pytest.raises(PullFailed, match="policy is always") as caught:
        await driver.prepare(shelf.image, "always")
    assert f"{shelf.repository}@{digest}" in caught.value.detail
    assert (await driver.prepare(shelf.image, "if_missing")).digest == f"{shelf.repository}@{digest}"


async def test_image_only_here_under_always(driver: DockerDriver, shelf: Shelf, host: DockerHost) -> None:
    """Under `always` an image that was built here and never pushed is `pull_failed`, with its id in the detail."""
    await host.docker.images.tag(host.image, shelf.repository, tag="local")
    with pytest.raises(PullFailed) as caught:
        await driver.prepare(f"{shelf.repository}:local", "always")
    assert "here is sha256:" in caught.value.detail
    prepared = await driver.prepare(f"{shelf.repository}:local", "if_missing")
    assert prepared.digest is None


async def test_two_prepares_are_one_pull(driver: DockerDriver, shelf: Shelf, relay: Relay) -> None:
    """Whoever wants an image while it is pulled waits for the same pull."""
    await shelf.push(b"one")
    await driver.prepare(shelf.image, "if_missing")
    alone = relay.manifests
    assert alone > 0
    await shelf.forget()
    relay.manifests = 0
    relay.open.clear()
    both = [asyncio.ensure_future(driver.prepare(shelf.image, "if_missing")) for _ in range(3)]
    await relay.waiting.wait()
    relay.open.set()
    first, second, third = await asyncio.gather(*both)
    assert first == second == third
    assert 1 <= relay.manifests <= alone < 3


async def test_pull_goes_on_for_the_others(driver: DockerDriver, shelf: Shelf, relay: Relay) -> None:
    """Who gives up does not take the pull from those who still wait."""
    await shelf.push(b"one")
    relay.open.clear()
    gives_up, waits = (asyncio.ensure_future(driver.prepare(shelf.image, "if_missing")) for _ in range(2))
    await relay.waiting.wait()
    gives_up.cancel()
    await asyncio.wait([gives_up])
    assert not relay.left.is_set()
    relay.open.set()
    assert (await waits).digest


async def test_pull_that_nobody_waits_for(driver: DockerDriver, shelf: Shelf, relay: Relay) -> None:
    """When the last gives up the daemon stops pulling, and the next one pulls from the start."""
    await shelf.push(b"one")
    relay.open.clear()
    pulls = [asyncio.ensure_future(driver.prepare(shelf.image, "if_missing")) for _ in range(2)]
    await relay.waiting.wait()
    for pull in pulls:
        pull.cancel()
    await asyncio.wait(pulls)
    relay.open.set()
    await relay.left.wait()
    with pytest.raises(ImageNotFound):
        await driver.prepare(shelf.image, "never")
    assert (await driver.prepare(shelf.image, "if_missing")).digest


async def test_pull_without_progress(host: DockerHost, shelf: Shelf, relay: Relay) -> None:
    """A pull that stands still is given up after the patience, and the daemon stops."""
    driver = host.driver(patience=timedelta(seconds=1))
    await shelf.push(b"one")
    relay.open.clear()
    with pytest.raises(PullFailed, match=r"no progress for 0:00:01"):
        await driver.prepare(shelf.image, "if_missing")
    relay.open.set()
    await relay.left.wait()
    with pytest.raises(ImageNotFound):
        await driver.prepare(shelf.image, "never")
    await driver.close()


async def test_id_of_an_image(driver: DockerDriver, host: DockerHost) -> None:
    """An image id is found here and can be launched, and cannot be pulled."""
    identity = (await host.docker.images.inspect(host.image))["Id"]
    assert (await driver.prepare(identity, "if_missing")).digest is None
    engine = await driver.launch(msgspec.structs.replace(a_spec(host), image=identity))
    assert await driver.observe() == [engine]
    with pytest.raises(ImageNotFound, match="cannot be pulled"):
        await driver.prepare("sha256:" + 64 * "0", "if_missing")


def test_failures_by_what_the_daemon_says() -> None:
    """Newer daemons answer 200 and tell of errors amid the progress: their words are understood too."""
    from galaxy_engine.drivers.docker.images import _failure

    assert isinstance(_failure("a:1", 0, "manifest for a:1 not found: manifest unknown"), ImageNotFound)
    assert isinstance(_failure("a:1", 404, "pull access denied for a, repository does not exist"), ImageNotFound)
    assert isinstance(_failure("a:1", 404, "no matching manifest for linux/arm64 in the manifest list"), ConfigInvalid)
    assert isinstance(_failure("a:1", 0, "unauthorized: authentication required"), PullFailed)
    assert isinstance(_failure("a:1", 500, "Get https://registry/v2/: EOF"), PullFailed)
