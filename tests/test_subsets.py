"""A deployment has the installed subsystems: every possible set of plugins becomes ready and stops cleanly."""

from itertools import chain, combinations
from typing import Any

import pytest
from full_backend import ALL

from galaxy_devkit.testing import Boot

FREE = {"admin", "engineversion", "geo", "push"}
"""Independent plugins: tested all together, none of them, and each one missing."""


def whole_sets() -> list[tuple[type[Any], ...]]:
    """Return the sets whose requirements are met within them; `test_house` tests the others' refusal."""
    sets = chain.from_iterable(combinations(ALL, size) for size in range(len(ALL) + 1))
    return [chosen for chosen in sets if _met(chosen) and _worth_it(chosen)]


def _worth_it(chosen: tuple[type[Any], ...]) -> bool:
    free = FREE & {plugin.manifest.name for plugin in chosen}
    return free in (set(), FREE) or len(chosen) >= len(ALL) - 1


def _met(chosen: tuple[type[Any], ...]) -> bool:
    provided = {capability for plugin in chosen for capability in plugin.manifest.provides}
    return all(set(plugin.manifest.requires) <= provided for plugin in chosen)


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
    assert shown - {"kernel"} == {plugin.manifest.name for plugin in chosen if hasattr(plugin, "backend_routes")}
