"""Replicas in processes of their own, to be killed: they run the turns of a database against one engine.

`python turn_replica.py DSN ENGINE VERSION` starts one for each line of its input, as a copy of itself that has imported
everything already, and prints its process id once it is ready. The owner of the games writes what it is told into the
table `told`. Leases are short, so that what a killed one leaves is taken up soon.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from engine_doubles import NotedTable

from galaxy_contracts.database import Connection
from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.runtime import PositionMade
from galaxy_contracts.testing import FakeEngineVersions, FakeNotifications
from galaxy_devkit.testing.kernel import make_boot, offering
from galaxy_engine.client import EngineClient
from galaxy_engine.failures import EngineFailure
from galaxy_engine.messages import Describe
from galaxy_engine.transport import Transport
from galaxy_kernel.api import Context
from galaxy_runtime.engines.domain import Engine
from galaxy_runtime.plugin import RuntimePlugin
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.turns import claiming, queries

LEASE = timedelta(seconds=1)


class OneEngine:
    """One engine for all games: it is told state and orders with each turn."""

    def __init__(self, address: str, version: UUID) -> None:
        self._address, self._version = address, version
        self._opened: Engine | None = None

    async def open(self, game_id: UUID, patience: timedelta) -> Engine:
        if self._opened is None:
            client = EngineClient(Transport(), self._address)
            describe: Describe = await client.describe()
            self._opened = Engine(client, describe, 1, self._version)
        return self._opened

    async def cause(self, game_id: UUID, generation: int, failure: EngineFailure) -> EngineFailure:
        return failure


class WritingTable(NotedTable):
    """An owner that writes what it is told with the caller's transaction."""

    async def positions_made(self, connection: Connection, made: Sequence[PositionMade]) -> None:
        for each in made:
            await connection.exec_driver_sql(f"INSERT INTO told VALUES ('{each.game_id}', {each.turn})")


async def run(dsn: str, address: str, version: str) -> None:
    """Run until killed."""

    class Replica(RuntimePlugin):
        def __init__(self, context: Context[RuntimeSettings]) -> None:
            super().__init__(context, OneEngine(address, UUID(version)))  # type: ignore[arg-type]
            self._table.observe(WritingTable())

    offers: dict[Any, Any] = {ENGINE_VERSIONS: FakeEngineVersions(), NOTIFICATIONS: FakeNotifications()}
    environment = {"BACKEND_RUNTIME_TURN_ATTEMPTS": "20", "BACKEND_RUNTIME_DRIVER": "process"}
    async with make_boot(None)(Replica, offering("fakes", offers), dsn=dsn, environment=environment):  # type: ignore[arg-type]
        print(os.getpid(), flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    claiming.LEASE = queries.LEASE = LEASE  # type: ignore[attr-defined]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            asyncio.run(run(*sys.argv[1:]))
