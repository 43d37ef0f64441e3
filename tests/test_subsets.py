"""A deployment has the subsystems that are installed: every set of plugins that can be is ready and stops clean."""

from itertools import chain, combinations
from typing import Any

import pytest
from whole import ALL

from galaxy_kernel.testing import Boot


def whole_sets() -> list[tuple[type[Any], ...]]:
    """Give the sets whose requirements are met within them; `test_house` holds what the others are told."""
    sets = chain.from_iterable(combinations(ALL, size) for size in range(len(ALL) + 1))
    return [chosen for chosen in sets if _met(chosen)]


def _met(chosen: tuple[type[Any], ...]) -> bool:
    provided = {capability for plugin in chosen for capability in plugin.manifest.provides}
    return all(set(plugin.manifest.requires) <= provided for plugin in chosen)


def test_there_are_ten() -> None:
    """Admin, mail and user stand alone; auth needs mail and user."""
    assert len(whole_sets()) == 10


@pytest.mark.parametrize("chosen", whole_sets(), ids=lambda chosen: "+".join(p.manifest.name for p in chosen) or "none")
async def test_every_set_comes_up(boot: Boot, chosen: tuple[type[Any], ...]) -> None:
    """It is ready with the checks of its plugins alone, and shows their routes alone."""
    names = {plugin.manifest.name for plugin in chosen}
    async with boot(*chosen) as booted:
        async with booted.client.get("/readyz") as response:
            assert response.status == 200, await response.text()
            checks = {check["plugin"] for check in (await response.json())["checks"]}
        async with booted.client.get("/openapi.json") as response:
            paths = (await response.json())["paths"]
    assert checks <= names | {"kernel"}
    shown = {operation["operationId"].partition(".")[0] for path in paths.values() for operation in path.values()}
    assert shown - {"kernel"} == names
