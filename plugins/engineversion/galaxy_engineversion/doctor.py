"""What `backend doctor` looks at: whether a game can be played with the registered engines."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from galaxy_engineversion import queries
from galaxy_engineversion.settings import EngineVersionSettings
from galaxy_kernel.api import Context, DoctorCheck, Finding


def checks(context: Context[EngineVersionSettings]) -> Sequence[DoctorCheck]:
    """Return the plugin's checks."""
    return (DoctorCheck("versions", partial(check_versions, context), needs="database"),)


async def check_versions(context: Context[EngineVersionSettings]) -> Sequence[Finding]:
    """Check that there is a version for new games, that executables are there, and that engines have passed."""
    async with context.database.reading() as connection:
        versions = await queries.list_usable(connection)
    active = [version for version in versions if version.state == "active"]
    if not active and not context.settings.versions:
        told = "no engine version is active, so no game can be made: POST /api/v1/admin/engine-versions"
        return [Finding("versions", "warning", f"{told}, or set BACKEND_ENGINEVERSION_VERSIONS")]
    found = [fault for version in versions for fault in _faults(version)]
    return found or [Finding("versions", "ok", f"{len(active)} take new games")]


def _faults(version: Any) -> Sequence[Finding]:
    name = f"{version.engine}@{version.version}"
    if is_path(version.image) and not os.access(version.image, os.X_OK):
        told = f"{name}: there is no executable {version.image} here: install it, or retire the version"
        return [Finding("versions", "failed", told)]
    if version.check_state == "failed":
        told = f"{name} has failed its check: GET /api/v1/admin/engine-versions/{version.id} says why"
        return [Finding("versions", "warning", told)]
    return []


def is_path(image: str) -> bool:
    """Return whether an image is an executable's path, as the driver `process` has them, and not a reference."""
    return image.startswith((".", "/")) or Path(image).is_file()
