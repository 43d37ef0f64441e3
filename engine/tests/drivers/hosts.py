"""What the suite needs from a host of engines besides the driver: a hand from outside."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from galaxy_engine.drivers.driver import EngineDriver, EngineId, EngineSpec, Limits, Observed
from galaxy_engine.drivers.process import ProcessDriver

SCRIPT = Path(__file__).with_name("engine.sh")


class Host(Protocol):
    """A place where engines run, for one test."""

    name: str
    image: str
    """The engine that does what DO says."""
    missing: str
    """What `prepare` and `launch` do not find."""
    owner: str

    def driver(self, owner: str | None = None) -> EngineDriver:
        """Return another driver, as another backend would make it."""
        ...

    async def kill(self, engine: Observed) -> None:
        """Kill the engine behind its driver's back."""
        ...

    async def occupy(self, identity: EngineId) -> None:
        """Let something that is not ours hold the engine's name."""
        ...


class ProcessHost:
    """This machine."""

    name = "process"

    def __init__(self, folder: Path) -> None:
        self.owner = str(uuid4())
        self.folder = folder / "engines"
        self.image = str(folder / "engine.sh")
        shutil.copy(SCRIPT, self.image)
        self.missing = str(folder / "missing")

    def driver(self, owner: str | None = None) -> ProcessDriver:
        return ProcessDriver(owner or self.owner, self.folder)

    async def kill(self, engine: Observed) -> None:
        os.kill(int(engine.handle.partition(":")[0]), signal.SIGKILL)

    async def occupy(self, identity: EngineId) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / identity.name).write_text("a list of things to do\n")


def a_spec(host: Host, *, owner: str | None = None, limits: Limits | None = None, **environment: str) -> EngineSpec:
    """Return an engine of a new game."""
    identity = EngineId(owner or host.owner, uuid4(), 1)
    return EngineSpec(identity, host.image, environment, limits or Limits())


async def ended(driver: EngineDriver, engine: Observed) -> Observed:
    """Wait until the engine is seen as ended with an exit code, and return it so."""
    while True:
        for seen in await driver.observe(engine.id.game_id):
            if seen.handle == engine.handle and seen.state == "ended" and seen.exit_code is not None:
                return seen
        await asyncio.sleep(0.02)


async def written(driver: EngineDriver, engine: Observed, text: str) -> str:
    """Wait until the engine has written the text, and return all it has written."""
    while text not in (output := await driver.logs(engine.handle, 65536)):
        await asyncio.sleep(0.02)
    return output


def variables(output: str) -> Mapping[str, str]:
    """Return what `DO=variables` printed."""
    return dict(line.partition("=")[::2] for line in output.splitlines())
