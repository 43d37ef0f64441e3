"""The host of this installation's engines, and the connections to them."""

import asyncio
import hashlib
import hmac
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_engine.client import EngineClient
from galaxy_engine.drivers.driver import EngineDriver, EngineId, EngineSpec, Observed
from galaxy_engine.failures import ConfigInvalid, EngineFailure, EngineInvalid, Unhealthy
from galaxy_engine.limits import CallTimes
from galaxy_engine.messages import Describe
from galaxy_engine.transport import Transport
from galaxy_kernel.api import Context
from galaxy_runtime.drivers import Drivers
from galaxy_runtime.engines import queries
from galaxy_runtime.engines.domain import LOG_TAIL, EngineState
from galaxy_runtime.settings import RuntimeSettings

GRACE = timedelta(seconds=10)
"""Between asking an engine to stop and killing it."""
HEALTH_POLL = 0.05
"""Seconds between two questions to an engine that starts."""
_RUNS_POLL = 0.5
"""Seconds between two looks whether an engine that starts still runs."""


class EngineHost:
    """The driver of this installation, opened at its first use in the service's event loop, and clients of engines."""

    def __init__(self, context: Context[RuntimeSettings], drivers: Drivers) -> None:
        self._context, self.drivers = context, drivers
        self._opening = asyncio.Lock()
        self._opened: tuple[str, EngineDriver] | None = None
        self._connections: Transport | None = None
        self._described: dict[UUID, tuple[Any, Describe]] = {}

    async def driver(self) -> EngineDriver:
        """Return the driver."""
        return (await self._open())[1]

    async def owner(self) -> str:
        """Return the id by which engines are this installation's."""
        return (await self._open())[0]

    async def _open(self) -> tuple[str, EngineDriver]:
        async with self._opening:
            if self._opened is None:
                async with self._context.database.transaction() as connection:
                    owner = await queries.installation_id(connection)
                self._opened = owner, self.drivers.open(owner)
            return self._opened

    async def close(self) -> None:
        """Close connections to the host and to engines."""
        if self._connections is not None:
            await self._connections.close()
        if self._opened is not None:
            await self._opened[1].close()

    def token(self, game_id: UUID, generation: int) -> str:
        """Return what every call to an engine carries; nothing is kept of it."""
        key = self._context.derive_key("engine-token")
        return hmac.digest(key, f"{game_id}/{generation}".encode(), hashlib.sha256).hex()

    def client(self, address: str, game_id: UUID, generation: int) -> EngineClient:
        """Return a client of an engine."""
        settings = self._context.settings
        order, turn = settings.order_timeout.total_seconds(), settings.turn_timeout.total_seconds()
        if self._connections is None:
            self._connections = Transport()
        return EngineClient(
            self._connections, address, self.token(game_id, generation), CallTimes(order=order, turn=turn)
        )

    async def spec(self, state: EngineState, generation: int, image: str) -> EngineSpec:
        """Return an engine of a game as it should be."""
        return EngineSpec(
            id=EngineId(await self.owner(), state.game_id, generation),
            image=image,
            environment={"GALAXY_TOKEN": self.token(state.game_id, generation)},
            limits=self.drivers.limits,
        )

    def describe_of(self, version_id: UUID) -> Describe | None:
        """Return what is known of a version's engine, from memory."""
        version = self._context.require(ENGINE_VERSIONS).get(version_id)
        if version is None or version.describe is None:
            return None
        known = self._described.get(version_id)
        if known is None or known[0] is not version.describe:
            document = msgspec.json.encode(version.describe)  # orders of its examples are bytes to us
            known = version.describe, msgspec.json.decode(document, type=Describe)
            self._described[version_id] = known
        return known[1]

    async def find(self, game_id: UUID, generation: int) -> Observed | None:
        """Return what is there of a game's engine of a generation."""
        seen = await (await self.driver()).observe(game_id)
        return next((each for each in seen if each.id.generation == generation), None)

    async def log(self, handle: str) -> str:
        """Return the end of what an engine wrote, or why it is not known."""
        try:
            return await (await self.driver()).logs(handle, LOG_TAIL)
        except EngineFailure as failure:
            return f"(no output: {failure})"

    async def await_health(self, client: EngineClient, game_id: UUID, generation: int) -> None:
        """Return once an engine answers; raise Unhealthy when it does not within `start_timeout`, or has ended."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._context.settings.start_timeout.total_seconds()
        look_at = loop.time() + _RUNS_POLL
        while True:
            try:
                return await client.health()
            except Unhealthy:
                if loop.time() >= until:
                    raise
                if loop.time() >= look_at:
                    look_at += _RUNS_POLL
                    if await self._ended(game_id, generation):
                        raise
            await asyncio.sleep(HEALTH_POLL)

    async def _ended(self, game_id: UUID, generation: int) -> bool:
        """Whether an engine is known not to run."""
        try:
            seen = await self.find(game_id, generation)
        except EngineFailure:
            return False
        return seen is None or seen.state != "running"

    async def examine(self, client: EngineClient, version_id: UUID) -> Describe:
        """Return what an engine says of itself. Raise ConfigInvalid where that is not what its version is known for."""
        try:
            described = await client.describe()
        except EngineInvalid as failure:
            raise ConfigInvalid(f"the engine does not speak contract 1: {failure}", failure.detail) from failure
        known = self.describe_of(version_id)
        if known is not None and known.engine != described.engine:
            raise ConfigInvalid(f"the image holds the engine {described.engine!r}, not {known.engine!r}")
        return described
