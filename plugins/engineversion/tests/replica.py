"""A backend of its own with this plugin and a process driver, for tests that kill it: replica.py DSN FOLDER PROGRAM."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from galaxy_contracts.engines import ENGINE_VERSIONS, PullPolicy
from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_engine.drivers.process import ProcessDriver
from galaxy_engineversion.plugin import EngineVersionPlugin
from galaxy_kernel.api import Context, Manifest, NoSettings, Offer
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.kernel import Kernel

DSN, FOLDER = sys.argv[1:]


class Drivers:
    """Where this replica's engines run."""

    pull_policy: PullPolicy = "if_missing"

    def open(self, owner: str) -> ProcessDriver:
        """Return a driver."""
        return ProcessDriver(owner, Path(FOLDER), {"PATH": "/usr/bin:/bin"})


class DriversPlugin:
    """Hands the drivers over, as the runtime does."""

    manifest = Manifest(name="drivers", summary="Drivers.", requires=(ENGINE_VERSIONS,))

    def __init__(self, context: Context[NoSettings]) -> None:
        self._context = context

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        """Hand over."""
        self._context.require(ENGINE_VERSIONS).register_drivers(Drivers())
        yield ()


async def main() -> None:
    """Run until killed."""
    environment = {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": DSN}
    async with Kernel(assemble(environment, discovery=from_classes(EngineVersionPlugin, DriversPlugin))).running():
        await asyncio.Event().wait()


asyncio.run(main())
