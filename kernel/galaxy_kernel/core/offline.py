"""Work for the command line: the database open, the plugins made, nothing started."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from galaxy_chassis.config.loading import Configuration
from galaxy_chassis.errors import BootError
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core.context import KernelResources, make_resources
from galaxy_kernel.core.settings import KERNEL, KernelSettings
from galaxy_kernel.database import (
    Database,
    check_session,
    diagnose,
    make_engine,
    refusal_of_settings,
    schema_of,
)
from galaxy_kernel.database.clock import DatabaseClock


@asynccontextmanager
async def opened(configuration: Configuration) -> AsyncIterator[Database]:
    """Open the database of the configuration. Raise BootError for faulty settings and when it cannot be reached."""
    configuration.check("migrate")
    settings = configuration.settings_of(KERNEL, KernelSettings)
    database = Database(make_engine(settings.dsn, pool_size=2), schema_of(settings.dsn))
    try:
        await check_session(database)
        yield database
    except BootError:
        raise
    except Exception as error:
        if (refusal := refusal_of_settings(error)) is not None:
            raise refusal from error
        if (told := diagnose(error)) is not None:
            raise BootError(f"Postgres: {told}") from error
        raise
    finally:
        await database.close()


def run_offline(
    configuration: Configuration, share: Callable[[KernelResources], None], work: Callable[[], Awaitable[None]]
) -> None:
    """Run a plugin command's work, after passing the kernel's resources to `share`.

    What it writes to caches reaches running replicas through the feed.
    """

    async def main() -> None:
        async with opened(configuration) as database, sharing(configuration, database, share):
            await work()

    asyncio.run(main())


@asynccontextmanager
async def sharing(
    configuration: Configuration, database: Database, share: Callable[[KernelResources], None]
) -> AsyncIterator[None]:
    """Pass the kernel's resources to `share`, for the block."""
    settings = configuration.settings_of(KERNEL, KernelSettings)
    key = b"" if settings.secret_key is None else settings.secret
    clock, random = DatabaseClock(), secrets.SystemRandom()
    await clock.ask(database)
    resources = make_resources(database, CapabilityRegistry(), key, clock=clock, random=random)
    share(resources)
    try:
        yield
    finally:
        await resources.http.close()
