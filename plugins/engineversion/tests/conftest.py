"""The plugin alone, with fakes of who establishes players and operators, and games that a table holds."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR
from galaxy_contracts.engines import ENGINE_VERSIONS, EngineVersions, PullPolicy
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.testing import FakeAdmins, FakeNotifications, FakeUsers
from galaxy_devkit.testing.kernel import Boot, Booted, offering
from galaxy_engine.drivers.driver import Prepared
from galaxy_engine.drivers.process import ProcessDriver
from galaxy_engineversion import conformance
from galaxy_engineversion.plugin import EngineVersionPlugin
from galaxy_kernel.api import Connection, Database

VERSIONS = "/api/v1/admin/engine-versions"
ENGINES = Path(__file__).parents[3] / "engine/tests/engines"
DIGEST = f"registry.example/small@sha256:{'1' * 64}"


class Games:
    """A `VersionUser` whose games are rows of a table, so that transactions decide which of them count."""

    async def in_use(self, connection: Connection, version_id: UUID) -> int:
        """Count."""
        query = text("SELECT count(*) FROM games_of_tests WHERE version = :version")
        return int((await connection.execute(query, {"version": version_id})).scalar_one())

    async def add(self, connection: Connection, version_id: UUID) -> None:
        """Add a game."""
        query = text("INSERT INTO games_of_tests (id, version) VALUES (:id, :version)")
        await connection.execute(query, {"id": uuid4(), "version": version_id})


class NotedDriver(ProcessDriver):
    """A process driver whose images have digests, as those of a registry have."""

    def __init__(self, owner: str, folder: Path, drivers: "ProcessDrivers") -> None:
        variables = {"FAULT": drivers.fault, "PATH": "/usr/bin:/bin"}
        super().__init__(owner, folder, variables)
        self._drivers = drivers

    async def prepare(self, image: str, policy: Any) -> Prepared:
        """Note what is asked for."""
        self._drivers.prepared.append((image, policy))
        prepared = await super().prepare(self._drivers.program if image == DIGEST else image, policy)
        return Prepared(prepared.image, self._drivers.digest, prepared.size)


@dataclass
class ProcessDrivers:
    """Where engines of the tests run: this machine, as children."""

    folder: Path
    fault: str = ""
    digest: str | None = None
    program: str = ""
    pull_policy: PullPolicy = "always"
    prepared: list[tuple[str, str]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    def open(self, owner: str) -> NotedDriver:
        """Return a driver."""
        self.opened.append(owner)
        return NotedDriver(owner, self.folder, self)

    async def running(self, owner: Any) -> list[Any]:
        """Return the engines of an owner, ended ones included."""
        return list(await ProcessDriver(str(owner), self.folder).observe())

    def engine(self, name: str = "small.py") -> str:
        """Return the path of one of the engines that the kit's own tests use."""
        program = self.folder.parent / name
        program.write_text(f"#!{sys.executable}\n{(ENGINES / name).read_text()}")
        program.chmod(0o755)
        self.program = str(program)
        return self.program

    def script(self, lines: str) -> str:
        """Return the path of an executable that is not an engine."""
        program = self.folder.parent / f"script-{uuid4().hex[:8]}"
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)
        return str(program)


@dataclass
class World:
    """A booted kernel and what tests do to it."""

    booted: Booted
    clock: ManualClock
    users: FakeUsers
    notifications: FakeNotifications
    games: Games = field(default_factory=Games)

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def versions(self) -> EngineVersions:
        return self.booted.kernel.services.require(ENGINE_VERSIONS, asked_by="the test")

    async def ask(self, method: str, path: str, *, player: bool = False, **request: Any) -> tuple[int, Any]:
        """Make a request as the operator, or as a player, and return status and JSON."""
        if player:
            account = next(iter(self.users.accounts))
            request["headers"] = {"Authorization": f"Bearer {account}"}
        else:
            request["headers"] = {"Authorization": FakeAdmins.basic(), "Content-Type": "application/json"}
        async with self.booted.client.request(method, path, **request) as response:
            return response.status, await response.json() if response.content_length else None

    async def add(self, version: str = "1.0.0", image: str = "galaxy/game:1", **fields: Any) -> Any:
        """Add a version as the operator."""
        status, body = await self.ask("POST", VERSIONS, json={"version": version, "image": image, **fields})
        assert status == 201, body
        return body

    async def use(self, version_id: Any, *, keep: bool = True) -> None:
        """Add a game on a version, as the lobby would."""
        async with self.database.transaction() as connection:
            version = await self.versions.use(connection, UUID(str(version_id)))
            if keep:
                await self.games.add(connection, version.id)

    async def show(self, version_id: Any) -> Any:
        """Return a version as the operator sees it."""
        status, body = await self.ask("GET", f"{VERSIONS}/{version_id}")
        assert status == 200, body
        return body

    async def checked(self, version_id: Any) -> Any:
        """Wait until the version is not being checked, and return it."""
        async with asyncio.timeout(60):
            while (body := await self.show(version_id))["check_state"] == "checking":
                await asyncio.sleep(0.02)
        return body

    @staticmethod
    async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for what happens in the kernel, which has no event for it."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        """Run a statement, and return its rows."""
        async with self.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []


@pytest.fixture
def fakes() -> type[Any]:
    """What the plugin needs of others."""
    return make_fakes()


@pytest.fixture
def other_fakes() -> type[Any]:
    """The same for another replica."""
    return make_fakes()


def make_fakes() -> type[Any]:
    """Return a plugin that establishes one player and one operator, and takes notifications."""
    users, notifications = FakeUsers([uuid4()]), FakeNotifications()
    offers = {USER_AUTHENTICATOR: users, ADMIN_AUTHENTICATOR: FakeAdmins(), NOTIFICATIONS: notifications}
    made = offering("fakes", offers)
    cast("Any", made).users, cast("Any", made).notifications = users, notifications
    return made


@pytest.fixture
async def world(boot: Boot, clock: ManualClock, fakes: Any) -> AsyncIterator[World]:
    """The plugin, booted, with a user of versions and without drivers."""
    async with boot(EngineVersionPlugin, fakes, clock=clock) as booted:
        world = World(booted, clock, fakes.users, fakes.notifications)
        await world.sql("CREATE TABLE games_of_tests (id uuid PRIMARY KEY, version uuid NOT NULL)")
        world.versions.register_user(world.games)
        yield world


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessDrivers:
    """Where engines run; the kit plays short games."""
    monkeypatch.setattr(conformance, "PLAY_SECONDS", 2.0)
    return ProcessDrivers(tmp_path / "run")


@pytest.fixture
def drivers(world: World, processes: ProcessDrivers) -> ProcessDrivers:
    """Where engines run, registered with the world's plugin."""
    world.versions.register_drivers(processes)
    return processes
