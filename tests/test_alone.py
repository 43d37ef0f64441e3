"""Each plugin by itself, with fakes for what it requires: what its manifest says is all it needs."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import pytest
from structlog.testing import capture_logs

from galaxy_chassis.clock import SystemClock
from galaxy_chassis.http.problems import Problem
from galaxy_contracts import testing as fakes
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.capability import Capability
from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import ADMIN_CHANNEL, NOTIFICATIONS
from galaxy_contracts.push import PUSH
from galaxy_contracts.runtime import RUNTIME
from galaxy_contracts.sessions import SESSIONS
from galaxy_devkit.testing import Boot, offering
from galaxy_kernel.core.discovery import InstalledPlugin, discover

FOUND = discover().enabled
FAKES: dict[Capability[Any], Callable[[], Any]] = {
    ACCOUNTS: fakes.FakeAccounts,
    ADMIN_CHANNEL: fakes.FakeAdminChannel,
    COUNTRIES: fakes.FakeCountries,
    ENGINE_VERSIONS: fakes.FakeEngineVersions,
    NOTIFICATIONS: fakes.FakeNotifications,
    OUTBOX: fakes.FakeOutbox,
    PUSH: fakes.FakePush,
    RUNTIME: lambda: fakes.FakeRuntime(Problem, SystemClock().now),
    SESSIONS: fakes.FakeSessions,
}
"""A fake for each capability that some plugin requires or uses."""


def offering_fakes(capabilities: Iterable[Capability[Any]]) -> list[type[Any]]:
    """Make the plugins that offer fakes of these, each under the name of the plugin that offers the real one."""
    ordered = sorted(capabilities, key=lambda capability: capability.name)
    grouped = groupby(ordered, key=lambda capability: capability.plugin)
    return [offering(name, {capability: FAKES[capability]() for capability in group}) for name, group in grouped]


def test_whatever_a_plugin_needs_has_a_fake() -> None:
    """A plugin is tested without any other, so each contract that is required or used has one."""
    needed = {one for found in FOUND for one in (*found.manifest.requires, *found.manifest.uses)}
    assert sorted(one.name for one in needed - FAKES.keys()) == []


@pytest.mark.parametrize("wanted", ["requires", "requires and uses"])
@pytest.mark.parametrize("found", FOUND, ids=[found.name for found in FOUND])
async def test_each_plugin_boots_alone(boot: Boot, found: InstalledPlugin, wanted: str) -> None:
    """It becomes ready, offers what its manifest says, shows its routes alone, and stops without an error."""
    manifest = found.manifest
    needed = {*manifest.requires, *(manifest.uses if wanted == "requires and uses" else ())}
    with capture_logs() as lines:
        async with boot(found.factory, *offering_fakes(needed)) as booted:
            async with booted.client.get("/readyz") as response:
                assert response.status == 200, await response.text()
                checks = {check["plugin"] for check in (await response.json())["checks"]}
            async with booted.client.get("/openapi.json") as response:
                paths = (await response.json())["paths"]
            services = booted.kernel.services
            assert [one.name for one in manifest.provides if services.find(one) is None] == []
    assert checks <= {"kernel", found.name}
    names = {operation["operationId"].partition(".")[0] for path in paths.values() for operation in path.values()}
    assert names <= {"kernel", found.name}
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
