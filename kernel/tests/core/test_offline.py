"""Work for the command line: the database open, nothing started, everything closed afterwards."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from galaxy_chassis.config.loading import Configuration
from galaxy_chassis.errors import BootError, ConfigurationError
from galaxy_contracts.capability import Capability
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.context import KernelResources
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.offline import opened, run_offline
from galaxy_kernel.database import Database

SECRET = "a secret key for tests, of more than 32 bytes"


def configured(dsn: str = "", **environment: str) -> Configuration:
    environment |= {"BACKEND_POSTGRES_DSN": dsn} if dsn else {}
    return assemble(environment, discovery=from_classes()).configuration


async def test_the_database_is_open_inside_alone(empty_database: str) -> None:
    """Its schema is the DSN's; afterwards no connection is left."""
    async with opened(configured(f"{empty_database}?search_path=ours")) as database:
        assert database.schema == "ours"
        await database.ping()
        pool: Any = database.engine.pool
        assert pool.checkedin() == 1
    assert database.engine.pool.checkedin() == 0  # type: ignore[attr-defined] # of QueuePool


@pytest.mark.parametrize("failing", [False, True])
async def test_it_is_closed_whatever_happens(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    """An error of the work is raised as it is, behind the closing."""
    closed = []
    close = Database.close

    async def watched(self: Database) -> None:
        closed.append(self)
        await close(self)

    monkeypatch.setattr(Database, "close", watched)
    try:
        async with opened(configured(empty_database)):
            if failing:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert failing
    assert len(closed) == 1


async def test_settings_are_checked_first() -> None:
    """Every fault is told at once, before anything is connected to."""
    configuration = configured(BACKEND_LOG_LEVEL="loud")
    with pytest.raises(ConfigurationError) as caught:
        async with opened(configuration):
            pass
    assert {fault.variable for fault in caught.value.faults} == {"BACKEND_POSTGRES_DSN", "BACKEND_LOG_LEVEL"}


async def test_a_database_that_is_not_there_is_one_sentence() -> None:
    """It names the variable and the kind of error, not the password."""
    with pytest.raises(BootError, match="BACKEND_POSTGRES_DSN") as caught:
        async with opened(configured("postgres://u:hunter2@127.0.0.1:1/none")):
            pass
    assert "hunter2" not in str(caught.value)
    assert caught.value.status == 1


async def test_a_database_lost_in_the_work_is_told_alike(empty_database: str) -> None:
    """Whoever runs a command learns that Postgres went away; a fault of the work itself stays what it is."""
    with pytest.raises(BootError, match="BACKEND_POSTGRES_DSN"):
        async with opened(configured(empty_database)) as database, database.reading() as connection:
            await connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with pytest.raises(sa.exc.ProgrammingError):
        async with opened(configured(empty_database)) as database, database.reading() as connection:
            await connection.execute(sa.text("SELECT * FROM nowhere"))
    with pytest.raises(BootError, match="^on purpose$"):
        async with opened(configured(empty_database)):
            raise BootError("on purpose")


def test_resources_are_shared_before_the_work_and_hold_no_service(empty_database: str) -> None:
    """A plugin's command finds the database and the key; services of other plugins were never started."""
    trail: list[str] = []
    shared: list[KernelResources] = []

    def share(resources: KernelResources) -> None:
        trail.append("shared")
        shared.append(resources)

    async def work() -> None:
        trail.append("work")
        await shared[0].database.ping()
        assert not shared[0].http.session.closed

    run_offline(configured(empty_database, BACKEND_SECRET_KEY=SECRET), share, work)
    assert trail == ["shared", "work"]
    assert shared[0].secret_key == SECRET.encode()
    with pytest.raises(RuntimeError, match="closed"):
        _ = shared[0].http.session
    assert shared[0].services.find(Capability[object]("mail.outbox")) is None


def test_a_command_may_do_without_the_secret_key(empty_database: str) -> None:
    """`migrate` and its like need none; whoever derives a key of nothing gets no secret of production."""
    shared: list[KernelResources] = []

    async def work() -> None: ...

    run_offline(configured(empty_database), shared.append, work)
    assert shared[0].secret_key == b""


def test_an_error_of_the_work_ends_the_command(empty_database: str, tmp_path: Path) -> None:
    """It comes out of the call, not out of some task."""

    async def work() -> None:
        raise FileNotFoundError(tmp_path)

    with pytest.raises(FileNotFoundError):
        run_offline(configured(empty_database), lambda resources: None, work)
