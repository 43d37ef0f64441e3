"""The plugin with fakes of what it requires, and with engines in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from engine_doubles import DoubleEngine, DoubleHost, NotedTable
from pydantic import BaseModel
from sqlalchemy import insert, text

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR
from galaxy_contracts.engines import ENGINE_VERSIONS, EngineVersion
from galaxy_contracts.notification import NOTIFICATIONS, Audience, NotificationKind
from galaxy_contracts.runtime import RUNTIME, Actor, ActorKind, Launch, Operation, SeatPlayer, Trigger
from galaxy_contracts.schedules import Schedule
from galaxy_contracts.testing import FakeAdmins, FakeEngineVersions, FakeNotifications, FakeUsers
from galaxy_devkit.testing.kernel import Boot, Booted, offering
from galaxy_engine.client import EngineClient
from galaxy_engine.failures import EngineFailure
from galaxy_engine.limits import CallTimes
from galaxy_engine.messages import Describe, Position
from galaxy_engine.transport import Transport
from galaxy_kernel.api import Context, Database, new_id
from galaxy_runtime.caches import RECORD
from galaxy_runtime.domain import schedule_json, seats_json, seats_of
from galaxy_runtime.engines.domain import Engine, broke_off
from galaxy_runtime.plugin import RuntimePlugin
from galaxy_runtime.records.queries import change, record_of
from galaxy_runtime.schedules import next_tick
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.tables import runtime_records
from galaxy_runtime.turns.positions import NewPosition, insert_positions


class HeldEngines:
    """`Engines` without a host: an engine in this process for each game, there as soon as it is opened."""

    def __init__(self) -> None:
        self.engines: dict[UUID, DoubleEngine] = {}
        self.make: Callable[[UUID], DoubleEngine] = lambda game_id: DoubleEngine()
        self.failure: Exception | None = None
        """Raised by `open`."""
        self.suspected: list[UUID] = []
        self.woken: list[UUID] = []
        self.version_id: UUID | None = None
        self.times = CallTimes()
        self._transport: Transport | None = None

    async def open(self, game_id: UUID, patience: timedelta) -> Engine:
        if self.failure is not None:
            raise self.failure
        if self._transport is None:
            self._transport = Transport()
        if game_id not in self.engines:
            self.engines[game_id] = self.make(game_id)
            await self.engines[game_id].start()
        engine = self.engines[game_id]
        client = EngineClient(self._transport, engine.address, engine.token, self.times)
        described = msgspec.json.decode(engine._describe(None, 0).body, type=Describe)
        assert self.version_id is not None
        return Engine(client, described, 1, self.version_id)

    def suspect(self, game_id: UUID) -> None:
        self.suspected.append(game_id)

    async def cause(self, game_id: UUID, generation: int, failure: EngineFailure) -> EngineFailure:
        if broke_off(failure):
            self.suspected.append(game_id)
        return failure

    async def wake(self, game_ids: Any) -> None:
        self.woken += game_ids

    async def stop(self) -> None:
        for engine in self.engines.values():
            await engine.stop()
        if self._transport is not None:
            await self._transport.close()


GAMES = "/api/v1/admin/runtime/games"


class AnyPayload(BaseModel):
    """Of kinds that the notification plugin registers."""


@dataclass
class Fakes:
    """What the plugin requires."""

    clock: ManualClock
    versions: FakeEngineVersions = field(default_factory=FakeEngineVersions)
    notifications: FakeNotifications = field(default_factory=FakeNotifications)

    def __post_init__(self) -> None:
        for name in ("image_pull_failed", "container_start_failed", "start_config_invalid"):
            self.notifications.register(
                NotificationKind(name=f"runtime.{name}", summary="", audience=Audience.OPERATORS, payload=AnyPayload)
            )
        self.versions.register_drivers = lambda drivers: None  # type: ignore[method-assign] # by each replica

    def plugin(self) -> type[Any]:
        return offering(
            "fakes",
            {
                ENGINE_VERSIONS: self.versions,
                NOTIFICATIONS: self.notifications,
                USER_AUTHENTICATOR: FakeUsers(),
                ADMIN_AUTHENTICATOR: FakeAdmins(),
            },
        )

    def shared(self) -> "Fakes":
        """Return the same for a second replica, which registers its kinds by itself."""
        notifications = FakeNotifications()
        notifications.intents, notifications._ids = self.notifications.intents, self.notifications._ids
        return Fakes(self.clock, self.versions, notifications)


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    plugin: RuntimePlugin
    clock: ManualClock
    fakes: Fakes
    engines: HeldEngines
    table: NotedTable
    version: EngineVersion
    hosts: list[DoubleHost]
    """The driver, once something has opened it."""
    shared: dict[str, Any]
    """The engines of the host, which all replicas see."""
    held: bool
    """Whether engines need no host."""

    @property
    def host(self) -> DoubleHost:
        return self.hosts[-1]

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def runtime(self) -> Any:
        """Return what the plugin offers."""
        return self.booted.kernel.assembly.require_resources().services.require(RUNTIME, asked_by="tests")

    async def ask(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        """Make a request as the operator, and return status and JSON."""
        headers = {"Authorization": FakeAdmins.basic(), "Content-Type": "application/json"}
        async with self.booted.client.request(method, f"{GAMES}{path}", headers=headers, **request) as response:
            return response.status, await response.json() if response.content_length else None

    def a_launch(self, *, seats: int = 2, **fields: Any) -> Launch:
        """Return a game to start."""
        values: dict[str, Any] = {
            "game_id": new_id(),
            "engine_version_id": self.version.id,
            "seats": tuple(SeatPlayer(seat=seat, name=f"Player {seat}") for seat in range(1, seats + 1)),
            "options": {},
            "schedule": Schedule(interval=timedelta(days=1)),
        }
        return Launch(**{**values, **fields})

    async def launch(self, launch: Launch) -> UUID:
        """Have a game started, and return the operation's id."""
        async with self.database.transaction() as connection:
            operation: UUID = await self.runtime.launch(connection, launch)
            return operation

    async def operate(self, game_id: UUID, operation: Operation, **options: Any) -> UUID:
        """Have an operation carried out, and return its id."""
        async with self.database.transaction() as connection:
            actor = Actor(ActorKind.OPERATOR)
            made: UUID = await self.runtime.operate(connection, game_id, operation, actor, **options)
            return made

    async def finished(self, operation: UUID, seconds: float = 15.0) -> Any:
        """Wait for the end of an operation, and return its row."""
        statement = "SELECT * FROM runtime_operation_log WHERE id = :id"
        async with asyncio.timeout(seconds):
            while (row := (await self.execute(statement, id=operation)).one()).outcome is None:
                await asyncio.sleep(0.02)
        return row

    async def playing(
        self, *, seats: int = 2, interval: timedelta = timedelta(days=1), run_when_final: bool = False, **columns: Any
    ) -> UUID:
        """Return a game whose position 0 was made; `columns` of its record may be set."""
        schedule = Schedule(interval=interval)
        launch = self.a_launch(seats=seats, schedule=schedule, run_when_final=run_when_final)
        return await self.placed(launch, **columns)

    async def placed(self, launch: Launch, **columns: Any) -> UUID:
        """Write a game as its start leaves it, without an engine's help."""
        numbers = [player.seat for player in launch.seats]
        state = {"turn": 0, "seats": numbers, "seed": "seed", "log": [], "options": {}}
        position = Position(
            turn=0,
            state=msgspec.Raw(msgspec.json.encode(state)),
            reports={seat: msgspec.Raw(b'{"text":"hello"}') for seat in numbers},
        )
        made = NewPosition(
            game_id=launch.game_id,
            epoch=0,
            position=position,
            seats=tuple(numbers),
            trigger=Trigger.START,
            duration=timedelta(0),
            seed="seed",
            engine_version_id=launch.engine_version_id,
            generation=1,
            request_id="tests",
        )
        shift = self.plugin.time.shift
        async with self.database.transaction() as connection:
            now = await self.plugin.time.now(connection)
            tick = next_tick(launch.schedule, anchor=now, now=now, due=None, made_at=now).at
            values = {
                "game_id": launch.game_id,
                "engine_version_id": launch.engine_version_id,
                "image": self.version.image,
                "seats": seats_json(seats_of(launch.seats)),
                "options": dict(launch.options),
                "seed": b"s" * 32,
                "schedule": schedule_json(launch.schedule),
                "anchor": now,
                "run_when_final": launch.run_when_final,
                "policy": launch.policy,
                "policy_options": dict(launch.policy_options),
                "playing": True,
                "next_turn_at": tick,
                "tick_at": tick,
                "made_at": now,
                "awaiting": numbers,
                "request_id": "tests",
                "wanted": "down" if self.held else "up",  # nothing else looks after held engines
                **columns,
            }
            row = (await connection.execute(insert(runtime_records).values(values).returning(*RECORD))).one()
            await insert_positions(connection, [made], shift)
            await self.plugin._cache.put(connection, record_of(row))
        return launch.game_id

    async def change(self, game_id: UUID, **columns: Any) -> None:
        """Change a record, in memory too."""
        async with self.database.transaction() as connection:
            await self.plugin._cache.put(connection, await change(connection, game_id, columns))

    async def execute(self, statement: str, **parameters: Any) -> Any:
        async with self.database.transaction() as connection:
            return await connection.execute(text(statement), parameters)

    async def rows(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return [tuple(row) for row in await self.execute(statement, **parameters)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the kernel does in the background."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


async def _stop_all(engines: dict[str, Any]) -> None:
    for _, engine, _ in engines.values():
        await engine.stop()


@pytest.fixture
async def make_world(boot: Boot, clock: ManualClock) -> AsyncIterator[Any]:
    """Return what boots the plugin: settings by name, `beside` for a second replica of another world.

    `held`: with engines that are there as soon as they are opened, without a host; `scheme`: the replica's driver.
    """
    async with AsyncExitStack() as stack:

        async def make(
            *, beside: World | None = None, held: bool = False, scheme: str | None = None, **settings: str
        ) -> World:
            fakes = beside.fakes.shared() if beside else Fakes(clock)
            made: list[RuntimePlugin] = []
            hosts: list[DoubleHost] = []
            shared: dict[str, Any] = beside.shared if beside else {}
            engines = beside.engines if beside else HeldEngines()

            class UnderTest(RuntimePlugin):
                def __init__(self, context: Context[RuntimeSettings]) -> None:
                    super().__init__(context, engines if held else None)
                    self._drivers.open = self._open  # type: ignore[method-assign,assignment]
                    made.append(self)

                def _open(self, owner: str) -> DoubleHost:
                    hosts.append(DoubleHost(owner, shared))
                    return hosts[-1]

            environment = {f"BACKEND_RUNTIME_{name.upper()}": value for name, value in settings.items()}
            dsn = beside.booted.dsn if beside else None
            if dsn and scheme:
                dsn = scheme + dsn[dsn.index(":") :]
            stack.push_async_callback(engines.stop)
            stack.push_async_callback(_stop_all, shared)
            booted = await stack.enter_async_context(
                boot(UnderTest, fakes.plugin(), environment=environment, clock=clock, dsn=dsn)
            )
            version = beside.version if beside else fakes.versions.add("1.0.0", engine="double", image="double:1")
            engines.version_id = version.id
            world = World(booted, made[-1], clock, fakes, engines, NotedTable(), version, hosts, shared, held)
            world.runtime.observe(world.table)
            return world

        yield make


@pytest.fixture
async def world(make_world: Any) -> World:
    """Return the plugin, booted with its default settings."""
    world: World = await make_world()
    return world
