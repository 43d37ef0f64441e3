"""What `backend doctor` looks at: whether engines can run here, and whether those of the games are there."""

import uuid
from collections.abc import Sequence
from functools import partial

from galaxy_engine.drivers.driver import EngineDriver
from galaxy_engine.failures import EngineFailure, HostUnreachable
from galaxy_kernel.api import Context, DoctorCheck, Finding
from galaxy_runtime.drivers import Drivers
from galaxy_runtime.records import queries
from galaxy_runtime.settings import RuntimeSettings


def checks(context: Context[RuntimeSettings], drivers: Drivers) -> Sequence[DoctorCheck]:
    """Return the plugin's checks."""
    return (
        DoctorCheck("driver", partial(check_driver, context, drivers)),
        DoctorCheck("images", partial(check_images, context, drivers), needs="database"),
    )


async def check_driver(context: Context[RuntimeSettings], drivers: Drivers) -> Sequence[Finding]:
    """Check that the host of engines answers. It makes nothing there, not even the network."""
    settings = context.settings
    driver = drivers.open(str(uuid.uuid4()))  # an owner of no engine
    try:
        await driver.observe()
    except EngineFailure as failure:
        return [Finding("driver", "failed", f"{_told(failure)}: {_remedy(settings)}")]
    finally:
        await driver.close()
    if settings.driver == "process":
        told = "BACKEND_RUNTIME_DRIVER=process isolates no engine from this machine: set docker, but for development"
        return [Finding("driver", "warning", told)]
    return [Finding("driver", "ok", f"the Docker daemon at {settings.docker.host} answers")]


async def check_images(context: Context[RuntimeSettings], drivers: Drivers) -> Sequence[Finding]:
    """Check that the engines of games that go on are here, or may be pulled."""
    async with context.database.reading() as connection:
        images = await queries.images_in_use(connection)
    driver = drivers.open(str(uuid.uuid4()))
    try:
        missing = [told for image in images if (told := await _missing(driver, image))]
    except HostUnreachable:
        return [Finding("images", "skipped", "see driver")]
    finally:
        await driver.close()
    pulled = context.settings.driver == "docker" and drivers.pull_policy != "never"
    if not missing:
        return [Finding("images", "ok", f"{len(images)} of games that go on are here")]
    remedy = "they are pulled when needed" if pulled else "put them here, or patch the games to another version"
    return [Finding("images", "warning" if pulled else "failed", f"{told}: {remedy}") for told in missing]


async def _missing(driver: EngineDriver, image: str) -> str:
    try:
        await driver.prepare(image, "never")
    except HostUnreachable:
        raise
    except EngineFailure as failure:
        return _told(failure)
    return ""


def _told(failure: EngineFailure) -> str:
    return f"{failure} ({failure.detail})" if failure.detail else str(failure)


def _remedy(settings: RuntimeSettings) -> str:
    if settings.driver == "process":
        return "set BACKEND_RUNTIME_PROCESS_DIR to a directory of this user's own"
    return "does the daemon run, is BACKEND_DOCKER_HOST right, and may this user use its socket?"
