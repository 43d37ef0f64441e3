"""What operators set."""

import pytest

from galaxy_devkit.testing import Boot
from galaxy_engineversion.plugin import EngineVersionPlugin


@pytest.mark.parametrize("value", ["5s", "2h", "soon", "-1s"])
async def test_the_limit_of_a_check_has_bounds(boot: Boot, value: str) -> None:
    """A limit below 10 seconds or above an hour refuses the boot and names the variable."""
    with pytest.raises(Exception, match="BACKEND_ENGINEVERSION_CHECK_TIMEOUT"):
        async with boot(EngineVersionPlugin, environment={"BACKEND_ENGINEVERSION_CHECK_TIMEOUT": value}):
            pass
