"""A deployment has the installed subsystems: any set of plugins that can run becomes ready and stops cleanly."""

import pytest
from structlog.testing import capture_logs
from subsets import Names, to_boot

from galaxy_devkit.testing import Boot
from galaxy_kernel.core.discovery import discover

FOUND = {found.name: found for found in discover().enabled}


@pytest.mark.parametrize(
    "names", to_boot([found.manifest for found in FOUND.values()]), ids=lambda names: "+".join(sorted(names)) or "none"
)
async def test_every_set_comes_up(boot: Boot, names: Names) -> None:
    """It is ready with the checks of its plugins alone, shows their routes alone, and stops without an error.

    `test_house` tests how other sets are refused.
    """
    plugins = [FOUND[name].factory for name in sorted(names)]
    with capture_logs() as lines:
        async with boot(*plugins) as booted:
            async with booted.client.get("/readyz") as response:
                assert response.status == 200, await response.text()
                checks = {check["plugin"] for check in (await response.json())["checks"]}
            async with booted.client.get("/openapi.json") as response:
                paths = (await response.json())["paths"]
    assert checks <= names | {"kernel"}
    shown = {operation["operationId"].partition(".")[0] for path in paths.values() for operation in path.values()}
    assert shown - {"kernel"} == {plugin.manifest.name for plugin in plugins if hasattr(plugin, "backend_routes")}
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
