"""Checks of what this process runs on: Python, distributions, limits, and the file of its variables."""

import asyncio
import platform
import resource
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from importlib_metadata import distributions

from galaxy_chassis.doctor import Finding
from galaxy_kernel.core.settings import KernelSettings

_OURS = "galaxy-backend-"
_OTHER_DESCRIPTORS = 128
"""File descriptors beside those of HTTP connections: Postgres, gRPC, relay, files."""


async def python() -> Sequence[Finding]:
    """Show the interpreter."""
    return [Finding("python", "ok", f"{platform.python_version()} on {sys.platform}")]


async def installed() -> Sequence[Finding]:
    """Compare the versions of our distributions, which are released together."""
    found = {each.name: each.version for each in distributions() if each.name.startswith(_OURS)}
    versions = sorted(set(found.values()))
    if len(versions) < 2:
        return [Finding("distributions", "ok", f"{len(found)} of version {''.join(versions)}")]
    shown = "; ".join(f"{version}: {', '.join(_of(found, version))}" for version in versions)
    return [Finding("distributions", "warning", f"versions differ: install one release of all of them ({shown})")]


def _of(found: dict[str, str], version: str) -> list[str]:
    return sorted(name.removeprefix(_OURS) for name, own in found.items() if own == version)


async def env_file(path: str) -> Sequence[Finding]:
    """Check that nobody else reads, or even writes, the file with the secrets."""
    mode = stat.S_IMODE((await asyncio.to_thread(Path(path).stat)).st_mode)
    if mode & stat.S_IWOTH:
        told = f"BACKEND_ENV_FILE: everybody on this machine can change {path}: chmod 600 {path}"
        return [Finding("env file", "failed", told)]
    if mode & stat.S_IROTH:
        told = f"BACKEND_ENV_FILE: everybody on this machine can read the secrets in {path}: chmod 600 {path}"
        return [Finding("env file", "warning", told)]
    return [Finding("env file", "ok", path)]


async def descriptors(settings: KernelSettings) -> Sequence[Finding]:
    """Compare the limit of open files with the connections that may be open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.http_max_connections + settings.postgres_pool_size + _OTHER_DESCRIPTORS
    if limit == resource.RLIM_INFINITY or limit >= wanted:
        return [Finding("open files", "ok", f"this process may have {limit}")]
    told = (
        f"this process may have {limit}, and BACKEND_HTTP_MAX_CONNECTIONS={settings.http_max_connections} needs "
        f"{wanted}: fewer are accepted; raise the limit (ulimit -n, LimitNOFILE) or lower the setting"
    )
    return [Finding("open files", "warning", told)]
