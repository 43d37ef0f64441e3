"""Versions by the settings: added where they are missing, and checked."""

from typing import Any

import pytest
from pydantic import ValidationError

from galaxy_contracts.engines import ENGINE_VERSIONS as _VERSIONS
from galaxy_devkit.testing import Boot
from galaxy_engineversion.domain import Registration
from galaxy_engineversion.plugin import EngineVersionPlugin
from galaxy_engineversion.settings import EngineVersionSettings


def test_versions_are_read() -> None:
    """Each is engine, version and image; blanks around commas do not count."""
    settings = EngineVersionSettings.model_validate({"versions": "galaxy@1.0.0=/bin/game, chess@2.1.0=repo/chess:2"})
    assert settings.versions == (
        Registration("galaxy", "1.0.0", "/bin/game"),
        Registration("chess", "2.1.0", "repo/chess:2"),
    )


@pytest.mark.parametrize("given", ["galaxy", "galaxy@1=x", "galaxy=1.0.0", "G@1.0.0=x", "galaxy@1.0.0=", "@1.0.0=x"])
def test_a_faulty_version_is_refused(given: str) -> None:
    """What is not engine, version and image refuses the boot."""
    with pytest.raises(ValidationError):
        EngineVersionSettings.model_validate({"versions": given})


async def test_missing_versions_are_added_once(boot: Boot, fakes: Any, other_fakes: Any) -> None:
    """A version of the settings is there after the start, to be checked; a second start leaves it as it is."""
    environment = {"BACKEND_ENGINEVERSION_VERSIONS": "galaxy@1.0.0=/bin/game"}
    async with boot(EngineVersionPlugin, fakes, environment=environment) as booted:
        found = booted.kernel.services.require(_VERSIONS, asked_by="the test").find("galaxy@1.0.0")
        assert found is not None
        assert (found.image, found.state) == ("/bin/game", "active")
        changed = {"BACKEND_ENGINEVERSION_VERSIONS": "galaxy@1.0.0=/bin/other"}
        async with boot(EngineVersionPlugin, other_fakes, environment=changed, dsn=booted.dsn) as second:
            again = second.kernel.services.require(_VERSIONS, asked_by="the test").find("galaxy@1.0.0")
            assert again == found
