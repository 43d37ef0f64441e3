"""The plugin in its kernel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from galaxy_devkit.testing import Boot
from galaxy_geo.plugin import GeoPlugin


async def test_boots_alone(boot: Boot) -> None:
    """It starts with nothing but the kernel and without a database, is ready, and reports itself as degraded."""
    async with boot(GeoPlugin) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
        checks = {check["name"]: check for check in (await response.json())["checks"]}
    assert checks["country_database"]["state"] == "degraded"
    assert "BACKEND_GEOIP_DB_PATH" in checks["country_database"]["detail"]


async def test_a_good_file_is_ok(world: Any) -> None:
    """With a database the check is `ok` and countries are known from the first request on."""
    assert await world.probe() == (200, "ok", "")
    assert world.countries.country_of("192.0.2.1") == "AT"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return the path of a file that is not a database."""
    path = tmp_path / "bad.mmdb"
    path.write_bytes(b"rubbish")
    return path


async def test_a_bad_file_refuses_nothing(make_world: Any, bad: Path, write: Callable[..., Path]) -> None:
    """A bad file at the start only degrades; a good one in its place is read by the worker's next pass."""
    world = await make_world(bad)
    status, state, detail = await world.probe()
    assert (status, state) == (200, "degraded")
    assert "not a MaxMind DB file" in detail
    assert world.countries.country_of("192.0.2.1") is None
    write(bad)
    await world.countries.reload()
    assert await world.probe() == (200, "ok", "")
    assert world.countries.country_of("192.0.2.1") == "AT"
