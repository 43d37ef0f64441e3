"""Fixtures of the scenarios: the images, and stacks."""

import fcntl
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import docker
import pytest
from docker.errors import APIError
from full_stack import images
from full_stack.stack import LABEL, Shape, Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every scenario."""
    for item in items:
        item.add_marker(pytest.mark.docker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show what backends and gateways wrote when a scenario fails."""
    report: pytest.TestReport = yield
    stacks: Stacks | None = getattr(item, "funcargs", {}).get("stacks")
    if report.when == "call" and report.failed and stacks is not None:
        report.sections.extend((f"logs of {stack.label}", stack.logs()) for stack in stacks.running)
    return report


class Stacks(Protocol):
    """The fixture `stacks`."""

    running: list[Stack]

    async def __call__(self, shape: Shape = ...) -> Stack:
        """Bring up a stack, which is removed after the test."""


class _Stacks:
    def __init__(self, within: AsyncExitStack) -> None:
        self._within = within
        self.running: list[Stack] = []

    async def __call__(self, shape: Shape = Shape()) -> Stack:  # noqa: B008 - immutable
        self.running.append(await self._within.enter_async_context(Stack(shape)))
        return self.running[-1]


@pytest.fixture
async def stacks(built: None) -> AsyncIterator[Stacks]:
    """Stacks of the test's own."""
    async with AsyncExitStack() as within:
        yield _Stacks(within)


@pytest.fixture
async def stack(stacks: Stacks) -> Stack:
    """The stack of most scenarios: one backend, one gateway."""
    return await stacks()


@pytest.fixture(scope="session")
def built(docker_host: str) -> Iterator[None]:
    """Have the images here, and remove what killed test runs have left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", docker_host)
        with closing(docker.DockerClient(base_url=docker_host)) as client:
            _sweep(client)
        with _alone():
            images.ensure_bases(images.BASE, images.POSTGRES, images.REDIS)
            for image in (images.BACKEND, images.GATEWAY, images.GAME):
                images.ensure(image)
            if not images.pulled(images.MAILPIT):
                images.ensure(images.MAIL_SINK)
        yield


def _sweep(client: docker.DockerClient) -> None:
    mine = {"label": LABEL}
    for container in client.containers.list(all=True, filters=mine):
        if _abandoned(container.labels[LABEL]):
            with suppress(APIError):  # another test run does the same
                container.remove(force=True, v=True)
    for network in client.networks.list(filters=mine):
        if _abandoned(network.attrs["Labels"][LABEL]):
            with suppress(APIError):
                network.remove()
    for volume in client.volumes.list(filters=mine):
        if _abandoned(volume.attrs["Labels"][LABEL]):
            with suppress(APIError):
                volume.remove()


def _abandoned(label: str) -> bool:
    found = re.fullmatch(r"integration-(\d+)-[0-9a-f]+", label)
    return found is not None and not Path(f"/proc/{found[1]}").exists()


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process build images, and the others wait."""
    with (Path(tempfile.gettempdir()) / f"galaxy-images-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
