"""`backend doctor` and the host of engines."""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from galaxy_kernel.api import Finding
from galaxy_runtime.doctor import check_driver, check_images
from galaxy_runtime.drivers import Drivers
from galaxy_runtime.records import queries
from galaxy_runtime.settings import DockerSettings, RuntimeSettings


def made(**settings: Any) -> tuple[Any, Drivers]:
    """Return a context with these settings, and the drivers by it."""
    context = Mock(settings=RuntimeSettings(**settings))
    context.database.reading.return_value.__aenter__ = Mock(side_effect=_nothing)
    context.database.reading.return_value.__aexit__ = Mock(side_effect=_nothing)
    return context, Drivers(context)


async def _nothing(*_: object) -> None: ...


async def images(monkeypatch: pytest.MonkeyPatch, found: list[str], **settings: Any) -> list[Finding]:
    """Return the findings on these images of games."""

    async def in_use(_: object) -> list[str]:
        return found

    monkeypatch.setattr(queries, "images_in_use", in_use)
    return list(await check_images(*made(**settings)))


async def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    """The variable is named, and what to look at."""
    (found,) = await check_driver(*made(docker=DockerSettings(host=f"unix://{tmp_path}/docker.sock")))
    assert found.state == "failed" and "is BACKEND_DOCKER_HOST right" in found.detail


async def test_engines_that_nothing_isolates(tmp_path: Path) -> None:
    """The driver for development works, and is pointed out."""
    (found,) = await check_driver(*made(driver="process", process_dir=tmp_path))
    assert found.state == "warning" and "isolates no engine" in found.detail


async def test_an_executable_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A game that goes on cannot have its engine."""
    process = {"driver": "process", "process_dir": tmp_path}
    (found,) = await images(monkeypatch, [sys.executable], **process)
    assert found.state == "ok"
    (found,) = await images(monkeypatch, [sys.executable, "/no/such/engine"], **process)
    assert found.state == "failed" and "'/no/such/engine'" in found.detail


async def test_images_on_a_host_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one fault is reported once."""
    docker = DockerSettings(host=f"unix://{tmp_path}/docker.sock")
    (found,) = await images(monkeypatch, ["engine:1"], docker=docker)
    assert found == Finding("images", "skipped", "see driver")


async def test_images_of_games_that_go_on(world: Any) -> None:
    """Those of games that have ended are not asked for, and one of two games counts once."""
    ids = [await world.placed(world.a_launch()) for _ in range(3)]
    await world.change(ids[0], image="old:1", digest=None, ended=True)
    for each in ids[1:]:
        await world.change(each, image="engine:1", digest="engine@sha256:1")
    async with world.database.reading() as connection:
        assert await queries.images_in_use(connection) == ["engine@sha256:1"]
