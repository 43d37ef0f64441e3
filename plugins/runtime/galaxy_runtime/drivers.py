"""Where engines run, by the settings."""

import os
import tempfile
from pathlib import Path

from galaxy_contracts.engines import PullPolicy
from galaxy_engine.drivers.driver import EngineDriver, Limits
from galaxy_kernel.api import Context
from galaxy_runtime.settings import RuntimeSettings


class Drivers:
    """Implements `galaxy_contracts.engines.EngineDrivers`; a driver's libraries are imported when one is opened."""

    def __init__(self, context: Context[RuntimeSettings]) -> None:
        self._context = context

    @property
    def pull_policy(self) -> PullPolicy:
        """When images are pulled."""
        return self._context.settings.image_pull_policy

    @property
    def limits(self) -> Limits:
        """What an engine may use."""
        settings = self._context.settings
        return Limits(memory=settings.memory, cpus=settings.cpus, pids=settings.pids, tmpfs=settings.tmpfs)

    def open(self, owner: str) -> EngineDriver:
        """Return a new driver for engines of this owner alone; see the contract."""
        settings = self._context.settings
        if settings.driver == "process":
            from galaxy_engine.drivers.process import ProcessDriver  # noqa: PLC0415

            return ProcessDriver(owner, settings.process_dir or default_process_dir())
        from galaxy_engine.drivers.docker import DockerDriver  # noqa: PLC0415

        docker, stack = settings.docker, settings.stack.stack_label
        return DockerDriver(
            owner,
            docker.host,
            docker.network,
            reach=settings.reach,
            credentials=docker.config,
            labels={"galaxy.stack": stack} if stack else {},
        )


def default_process_dir() -> Path:
    """Return a directory of this user's own for the driver `process`, which all backends of the machine share."""
    return Path(tempfile.gettempdir()) / f"galaxy-engines-{os.getuid()}"
