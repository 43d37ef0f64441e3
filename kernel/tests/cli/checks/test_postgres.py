"""The database of a deployment: each seeded fault is found, with what to do about it."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from galaxy_chassis.doctor import Finding
from galaxy_kernel.cli.checks import postgres
from galaxy_kernel.core.schema import KERNEL_BRANCH
from galaxy_kernel.core.settings import KernelSettings
from galaxy_kernel.database import Database, make_engine
from galaxy_migrations.runner import migrate

_roles = itertools.count()


@contextmanager
def superuser(dsn: str) -> Iterator[Any]:
    """Return a cursor in autocommit."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


@pytest.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    """Return the database, with the kernel's tables, as its owner."""
    database = Database(make_engine(empty_database), "backend")
    await migrate(database.engine, database.schema, [KERNEL_BRANCH], log=lambda *_, **__: None)
    yield database
    await database.close()


@pytest.fixture
async def as_role(empty_database: str, database: Database) -> AsyncIterator[Callable[[str], Database]]:
    """Return what makes a role with these grants, and the database as that role."""
    made: list[tuple[str, Database]] = []

    def make(grants: str = "") -> Database:
        role = f"doctor_{next(_roles)}"
        with superuser(empty_database) as cursor:
            cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; {grants.format(role=role)}")
        parts = urlsplit(empty_database)
        dsn = urlunsplit(parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}"))
        made.append((role, Database(make_engine(dsn), "backend")))
        return made[-1][1]

    yield make
    for role, own in made:
        await own.close()
        with superuser(empty_database) as cursor:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def privileges(database: Database) -> Finding:
    """Return the finding on the role's privileges."""
    (found,) = await postgres.privileges(database, await postgres.server(database), [KERNEL_BRANCH])
    return found


async def schema(database: Database, **settings: Any) -> Sequence[Finding]:
    """Return the findings on the schema."""
    state = await postgres.server(database)
    return await postgres.schema(database, KernelSettings(**settings), state, [KERNEL_BRANCH], set())


async def test_the_owner_of_the_tables(database: Database) -> None:
    """Nothing is wrong with it."""
    state = await postgres.server(database)
    assert (state.version().state, state.writable().state, state.connections(KernelSettings()).state) == ("ok",) * 3
    assert (await privileges(database)).state == "ok"
    assert [(each.check, each.state) for each in await schema(database)] == [("schema of kernel", "ok")]


async def test_a_role_without_the_schema(as_role: Callable[[str], Database]) -> None:
    """It may not use it: the grant is written out."""
    found = await privileges(as_role(""))
    assert found.state == "failed"
    assert "GRANT USAGE ON SCHEMA backend TO doctor_" in found.detail


async def test_a_role_without_the_version_tables(as_role: Callable[[str], Database]) -> None:
    """It may use the schema and read nothing in it."""
    found = await privileges(as_role("GRANT USAGE ON SCHEMA backend TO {role}"))
    assert found.state == "failed"
    assert "alembic_version_kernel" in found.detail
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA backend TO doctor_" in found.detail


async def test_a_role_that_may_only_read(as_role: Callable[[str], Database]) -> None:
    """The tables it may not write are named."""
    grants = "GRANT USAGE ON SCHEMA backend TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA backend TO {role}"
    found = await privileges(as_role(grants))
    assert found.state == "failed"
    assert "feed_changes" in found.detail and "alembic" not in found.detail


async def test_a_role_for_the_service_alone(as_role: Callable[[str], Database]) -> None:
    """Without CREATE it serves a schema that is up to date."""
    role = as_role(
        "GRANT USAGE ON SCHEMA backend TO {role};"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA backend TO {role}"
    )
    assert (await privileges(role)).state == "ok"
    assert [each.state for each in await schema(role)] == ["ok"]


async def test_a_role_that_cannot_fill_an_empty_database(
    empty_database: str, as_role: Callable[[str], Database]
) -> None:
    """Neither the schema is there, nor may it be made."""
    role = as_role("")
    with superuser(empty_database) as cursor:
        cursor.execute("DROP SCHEMA backend CASCADE")
    found = await privileges(role)
    assert found.state == "failed" and "GRANT CREATE ON DATABASE" in found.detail


async def test_a_role_that_cannot_bring_the_schema_up(empty_database: str, as_role: Callable[[str], Database]) -> None:
    """The schema is behind, and only its owner can migrate."""
    grants = "GRANT USAGE ON SCHEMA backend TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA backend TO {role}"
    with superuser(empty_database) as cursor:
        cursor.execute("UPDATE backend.alembic_version_kernel SET version_num = 'kernel_0001'")
    (found,) = await schema(as_role(grants))
    assert found.state == "failed" and "GRANT CREATE ON SCHEMA backend" in found.detail


@pytest.mark.parametrize(
    ("version", "says"), [("kernel_0001", "run `backend migrate`, or"), ("odd", "restore alembic")]
)
async def test_a_schema_that_is_not_the_codes(empty_database: str, database: Database, version: str, says: str) -> None:
    """One that is behind is brought up; one of another history is not."""
    with superuser(empty_database) as cursor:
        cursor.execute("UPDATE backend.alembic_version_kernel SET version_num = %s", (version,))
    (found,) = await schema(database)
    assert found.state == "failed" and says in found.detail


async def test_tables_of_a_plugin_that_is_gone(empty_database: str, database: Database) -> None:
    """They are kept until they are purged."""
    with superuser(empty_database) as cursor:
        cursor.execute("CREATE TABLE backend.alembic_version_chess (version_num text)")
        cursor.execute("INSERT INTO backend.alembic_version_chess VALUES ('chess_0001')")
    found = (await schema(database))[-1]
    assert (found.check, found.state) == ("schema of chess", "warning")
    assert "backend purge chess" in found.detail


@pytest.mark.parametrize(("migrates", "state"), [(True, "warning"), (False, "failed")])
async def test_an_empty_database_is_one_finding(
    empty_database: str, database: Database, migrates: bool, state: str
) -> None:
    """A start fills it, unless that is switched off."""
    with superuser(empty_database) as cursor:
        cursor.execute("DROP SCHEMA backend CASCADE")
    (found,) = await schema(database, migrate_on_start=migrates)
    assert (found.check, found.state) == ("schema", state)
    assert "is empty" in found.detail and "`backend migrate`" in found.detail


async def test_a_read_only_database(empty_database: str, database: Database) -> None:
    """Whether the database or the role is set so, writes fail."""
    await database.close()
    with superuser(empty_database) as cursor:
        cursor.execute(f"ALTER DATABASE {urlsplit(empty_database).path[1:]} SET default_transaction_read_only = on")
    found = (await postgres.server(database)).writable()
    assert found.state == "failed" and "RESET default_transaction_read_only" in found.detail


async def test_a_transaction_that_was_forgotten(
    empty_database: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found from the age on at which it does harm."""
    with superuser(empty_database) as cursor:
        cursor.execute("BEGIN; SELECT 1")
        (found,) = await postgres.transactions(database)
        assert found.state == "ok"
        monkeypatch.setattr(postgres, "_LONG", "0 seconds")
        (found,) = await postgres.transactions(database)
    assert found.state == "warning" and "pg_terminate_backend" in found.detail


def stated(**changed: Any) -> postgres.Server:
    """Return the state of a server in order, but for what is changed."""
    row = {
        "number": 160_000,
        "version": "PostgreSQL 16.1 on x86",
        "role": "backend",
        "database": "galaxy",
        "standby": False,
        "read_only": False,
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "most": 97,
        "most_of_role": -1,
        "most_of_database": -1,
    }
    return postgres.Server(SimpleNamespace(**(row | changed)), "backend")


def test_a_server_that_is_too_old() -> None:
    """The feed needs functions that came with a later one."""
    assert stated().version() == Finding("postgres", "ok", "PostgreSQL 16.1")
    assert stated(number=120_000).version().state == "failed"


def test_a_standby() -> None:
    """It can be read, and nothing else."""
    found = stated(standby=True).writable()
    assert found.state == "failed" and "name the primary" in found.detail


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_lose_commits(setting: str) -> None:
    """What was acknowledged must be there after a crash."""
    assert stated().durable().state == "ok"
    found = stated(**{setting: "off"}).durable()
    assert found.state == "warning" and found.detail.startswith(f"{setting} of the server is off")


@pytest.mark.parametrize("limit", ["most", "most_of_role", "most_of_database"])
def test_too_few_connections(limit: str) -> None:
    """The pool would wait for what the server never gives."""
    assert stated().connections(KernelSettings()).state == "ok"
    found = stated(**{limit: 10}).connections(KernelSettings())
    assert found.state == "failed" and "BACKEND_POSTGRES_POOL_SIZE" in found.detail
