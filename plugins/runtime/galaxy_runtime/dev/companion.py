"""Engines without containers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from galaxy_kernel.api import Companion, CompanionRun


@asynccontextmanager
async def _run(ports: dict[str, int], folder: str) -> AsyncIterator[CompanionRun]:  # noqa: ARG001 # no ports are needed
    yield CompanionRun(
        environment={
            "BACKEND_RUNTIME_DRIVER": "process",
            "BACKEND_RUNTIME_PROCESS_DIR": folder,
            "BACKEND_RUNTIME_VERIFY": "1",
        }
    )


PROCESSES = Companion("engines", ports={}, run=_run)
"""Have engines run as children of the backend, and every turn verified by a second run."""
