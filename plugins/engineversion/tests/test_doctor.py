"""`backend doctor` and the registered engines."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from galaxy_engineversion.doctor import check_versions, is_path
from galaxy_engineversion.settings import EngineVersionSettings


async def states(world: Any, **settings: Any) -> list[tuple[str, str]]:
    """Return the findings' states and details."""
    context: Any = SimpleNamespace(database=world.database, settings=EngineVersionSettings(**settings))
    return [(found.state, found.detail) for found in await check_versions(context)]


async def test_no_version_takes_new_games(world: Any) -> None:
    """That is pointed out, unless the next start adds one."""
    ((state, told),) = await states(world)
    assert state == "warning" and "no game can be made" in told
    ((state, _),) = await states(world, versions="default@1.0.0=galaxy/game:1")
    assert state == "ok"


@pytest.mark.parametrize(("image", "state"), [(sys.executable, "ok"), ("/no/such/engine", "failed")])
async def test_an_executable_that_is_not_here(world: Any, image: str, state: str) -> None:
    """It is a fault before the first game finds it."""
    version = await world.add(image=image)
    await world.sql("UPDATE engine_versions SET check_requested_at = NULL, check_request_id = NULL, check_until = NULL")
    ((found, told),) = await states(world)
    assert found == state and (image in told) == (state == "failed")
    await world.sql("UPDATE engine_versions SET state = 'retired'")
    ((found, _),) = await states(world)
    assert found == "warning", version


async def test_a_version_that_failed_its_check(world: Any) -> None:
    """Its games would stand still."""
    version = await world.add()
    await world.sql(
        "UPDATE engine_versions SET check_requested_at = NULL, check_request_id = NULL, check_until = NULL, "
        """check_result = '{"conforms": false}'"""
    )
    ((state, told),) = await states(world)
    assert state == "warning" and version["id"] in told


@pytest.mark.parametrize(
    ("image", "path"),
    [("/usr/bin/engine", True), ("./engine", True), ("galaxy/game:1", False), ("host:5000/a/b", False)],
)
def test_an_image_is_a_path_or_a_reference(image: str, path: bool) -> None:
    """Only a path can be looked for here."""
    assert is_path(image) == path
