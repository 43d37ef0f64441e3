"""Work for the command line: the database open, the plugins made, nothing started."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from galaxy_kernel.clock import SystemClock
from galaxy_kernel.context import Shared
from galaxy_kernel.database import Database, is_unavailable, make_engine, schema_of
from galaxy_kernel.errors import BootError
from galaxy_kernel.facts import Facts
from galaxy_kernel.services import Services
from galaxy_kernel.wakeups import Wakeups

if TYPE_CHECKING:
    from galaxy_kernel.assembly import Assembly


@asynccontextmanager
async def opened(assembly: "Assembly") -> AsyncIterator[Database]:
    """Open the database of the configuration. Raises BootError for faulty settings and when it cannot be reached."""
    assembly.configuration.check("migrate")
    settings = assembly.kernel_settings
    database = Database(make_engine(settings.dsn, pool_size=2), schema_of(settings.dsn))
    try:
        await database.ping()
        yield database
    except BootError:
        raise
    except Exception as error:
        if is_unavailable(error):
            raise BootError(
                "Postgres cannot be reached: is it running, and is BACKEND_POSTGRES_DSN right? "
                f"({type(error).__name__})"
            ) from error
        raise
    finally:
        await database.close()


def run_offline(assembly: "Assembly", work: Callable[[], Awaitable[None]]) -> None:
    """Run a plugin command's work. What it writes to caches reaches running replicas through the feed."""

    async def main() -> None:
        async with opened(assembly) as database:
            clock, random, wakeups = SystemClock(), secrets.SystemRandom(), Wakeups(database)
            settings = assembly.kernel_settings
            assembly.shared = Shared(
                database=database,
                facts=Facts(database, wakeups, clock, random),
                wakeups=wakeups,
                services=Services(),
                clock=clock,
                random=random,
                secret_key=b"" if settings.secret_key is None else settings.secret,
            )
            await work()

    asyncio.run(main())
