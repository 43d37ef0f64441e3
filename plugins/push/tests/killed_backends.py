"""A program for test_replicas: a backend with push alone that publishes until it is killed.

Argument: the DSN. The first line on stderr is the address where gateways subscribe.
"""

import asyncio
import contextlib
import sys
from itertools import count
from uuid import uuid4

from galaxy_contracts.push import PUSH, PushEvent
from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.kernel import Kernel
from galaxy_push.plugin import PushPlugin


async def main(dsn: str) -> None:
    """Publish a few events in each transaction; every third one is rolled back."""
    kernel = Kernel(assemble({**ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn}, discovery=from_classes(PushPlugin)))
    async with kernel.running():
        push = kernel.services.require(PUSH, asked_by="the test")
        assert kernel.rpc is not None
        sys.stderr.write(f"{kernel.rpc.address}\n")
        for number in count():
            with contextlib.suppress(ZeroDivisionError):
                async with kernel.database.transaction() as connection:
                    await push.publish(connection, [PushEvent(kind="killed.wrote", account_id=uuid4())] * 3)
                    if number % 3 == 0:
                        raise ZeroDivisionError
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
