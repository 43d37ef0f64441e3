"""`backend dev` with one plugin at hand in place of those installed, for test_run.py.

Arguments: the data directory, and how the plugin's companion behaves.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import galaxy_kernel.core.assembly
from galaxy_chassis.config.settings import Settings
from galaxy_chassis.errors import BootError
from galaxy_devkit.dev import run_dev
from galaxy_kernel.core.companions import Companion, CompanionRun, DevExample
from galaxy_kernel.core.context import Context
from galaxy_kernel.core.discovery import Discovery, from_classes
from galaxy_kernel.core.manifest import Manifest, Offer

DATA, BEHAVIOUR = Path(sys.argv[1]), sys.argv[2]


async def stuck(where: str) -> None:
    sys.stdout.write(f"stuck {where}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@asynccontextmanager
async def run(ports: dict[str, int], folder: str) -> AsyncIterator[CompanionRun]:
    if BEHAVIOUR == "needs more":
        import no_such_module  # type: ignore[import-not-found] # noqa: F401
    if BEHAVIOUR == "breaks":
        raise RuntimeError("out of order")
    if BEHAVIOUR == "stuck at start":
        await stuck("at start")
    sys.stdout.write(f"folder {folder}\n")
    yield CompanionRun({"BACKEND_HTTP_MAX_BODY": "2048"}, [("Lamp", f"http://127.0.0.1:{ports['light']}")])
    if BEHAVIOUR == "stuck at stop":
        await stuck("at stop")


class LampSettings(Settings):
    """Where the lamp is."""

    place: str = "unknown"
    """Its URL."""


class Lamp:
    manifest = Manifest(
        name="lamp",
        summary="Burns.",
        settings=LampSettings,
        dev_environment={"BACKEND_LAMP_PLACE": "{api}/lamp"},
        companions=(Companion("lamp", {"light": int(sys.argv[3]) if len(sys.argv) > 3 else 0}, run),),
        examples=(DevExample("Light it:", "curl {api}/on {lamp}"), DevExample("Never shown:", "curl {absent}")),
    )

    def __init__(self, context: Context[LampSettings]) -> None:
        self._context = context

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        sys.stdout.write(f"place {self._context.settings.place}\n")
        yield ()


def discover(_: tuple[str, ...]) -> Discovery:
    return from_classes(Lamp)


vars(galaxy_kernel.core.assembly)["discover"] = discover
try:
    sys.exit(asyncio.run(run_dev(DATA, any_ports=len(sys.argv) <= 3)))
except BootError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(error.status)
