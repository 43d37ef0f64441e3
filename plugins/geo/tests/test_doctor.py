"""`backend doctor` and the country database."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from galaxy_geo.doctor import checks
from galaxy_geo.settings import GeoSettings
from galaxy_kernel.api import Finding


async def looked(path: Path | None) -> Finding:
    """Return the finding on a file."""
    context = SimpleNamespace(settings=GeoSettings(db_path=path), log=structlog.get_logger())
    (check,) = checks(context)  # type: ignore[arg-type] # all that it uses
    (found,) = await check.run()  # type: ignore[call-arg] # it takes no option
    return found


async def test_a_good_database(path: Path) -> None:
    """Its type and size are shown."""
    found = await looked(path)
    assert found.state == "ok" and "networks" in found.detail


async def test_no_database_is_a_choice() -> None:
    """Countries are unknown, which is a warning."""
    found = await looked(None)
    assert found.state == "warning" and "BACKEND_GEOIP_DB_PATH" in found.detail


@pytest.mark.parametrize(("content", "says"), [(None, "does not exist"), (b"nonsense", "corrupt or truncated")])
async def test_a_bad_database_is_a_fault(tmp_path: Path, content: bytes | None, says: str) -> None:
    """A file that is named and cannot be used is one, with its variable."""
    path = tmp_path / "country.mmdb"
    if content is not None:
        path.write_bytes(content)
    found = await looked(path)
    assert found.state == "failed"
    assert says in found.detail and "BACKEND_GEOIP_DB_PATH" in found.detail
