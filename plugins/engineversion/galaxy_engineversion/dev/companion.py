"""The reference engine in the registry, where it is installed."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path

from galaxy_kernel.api import Companion, CompanionRun


@asynccontextmanager
async def _run(ports: dict[str, int], folder: str) -> AsyncIterator[CompanionRun]:  # noqa: ARG001 # it needs neither
    yield CompanionRun(environment=reference_engine(Path(sys.executable).parent))


def reference_engine(programs: Path) -> dict[str, str]:
    """Return the variable that registers the reference engine, if it is installed beside this Python."""
    program = programs / "galaxy-game"
    if not program.exists():
        return {}
    version = metadata.version("galaxy-backend-game")
    return {"BACKEND_ENGINEVERSION_VERSIONS": f"galaxy@{version}={program}"}


REFERENCE_ENGINE = Companion("engine", ports={}, run=_run)
"""Register the reference engine as `galaxy@<its version>`."""
