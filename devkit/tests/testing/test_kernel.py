"""Booting a kernel for a test: what it is told, its database, and fakes for what a plugin requires."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

import psycopg2
import pytest
import sqlalchemy as sa
import typer

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.capability import Capability
from galaxy_contracts.fact import Fact
from galaxy_devkit.testing import GATEWAY_TOKEN, SECRET_KEY, Boot, offering
from galaxy_kernel.api import Connection, Context, Manifest, NoSettings, Offer, Subscriptions, Term, Worker
from galaxy_kernel.errors import PhaseError, PluginError

LAMP: Capability[object] = Capability("lamp.light")


class Reader:
    """A plugin that requires a lamp."""

    manifest = Manifest(name="reader", summary="For tests.", requires=(LAMP,))
    light: object = None

    def __init__(self, context: Context[NoSettings]) -> None:
        self.context = context

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        Reader.light = self.context.require(LAMP)
        yield []


async def test_a_fake_is_offered_as_the_capability(boot: Boot) -> None:
    """The plugin under test gets the very object, by the way it gets the real one."""
    light = object()
    async with boot(Reader, offering("lamp", {LAMP: light})):
        assert Reader.light is light


async def test_without_what_it_requires_it_is_refused_as_in_production(boot: Boot) -> None:
    """A test learns of a missing fake by the sentence that operators get."""
    with pytest.raises(PluginError, match=r"'reader' requires 'lamp.light'"):
        async with boot(Reader):
            pass


async def test_the_client_speaks_to_the_kernel_which_is_ready(boot: Boot) -> None:
    """Inside the block the service serves, under settings that no other test sees."""
    async with boot() as booted:
        async with booted.client.get("/readyz") as response:
            assert response.status == 200
        assert booted.url == f"http://{booted.kernel.http.address}"
        settings = booted.kernel.assembly.kernel_settings
        assert (settings.secret.decode(), settings.token) == (SECRET_KEY, GATEWAY_TOKEN)
        assert settings.otel_traces_exporter == settings.otel_metrics_exporter == "none"


async def test_the_test_has_the_last_word(boot: Boot) -> None:
    """Variables and the clock of the test go before the usual ones."""
    clock = ManualClock()
    async with boot(environment={"BACKEND_HTTP_MAX_BODY": "2048"}, clock=clock) as booted:
        assert booted.kernel.assembly.kernel_settings.http_max_body == 2048
        checks = (await booted.kernel.probes.report())[1]["checks"]
        assert {check["since"] for check in checks} == {"2030-01-01T00:00:00Z"}


async def test_every_boot_has_a_database_of_its_own_which_goes_with_it(boot: Boot) -> None:
    """A second replica shares a database, and leaves it."""
    async with boot() as first:
        async with boot() as other, boot(dsn=first.dsn) as replica:
            assert other.dsn != first.dsn
            assert replica.dsn == first.dsn
        async with first.database.reading() as connection:
            assert (await connection.execute(sa.text("SELECT count(*) FROM facts"))).scalar_one() == 0
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(first.dsn)


async def test_a_boot_that_fails_leaves_no_database(boot: Boot, postgres_cluster: Any) -> None:
    """A thousand failing tests do not fill the disk."""

    class Broken(Reader):
        manifest = Manifest(name="broken", summary="For tests.")

        def backend_routes(self) -> Sequence[Any]:
            raise RuntimeError("out of coal")

        @asynccontextmanager
        async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
            yield []

    with pytest.raises(PhaseError, match="out of coal"):
        async with boot(Broken):
            pass
    before = databases(postgres_cluster)
    with pytest.raises(PhaseError, match="out of coal"):
        async with boot(Broken):
            pass
    assert databases(postgres_cluster) == before


def databases(cluster: Any) -> set[str]:
    connection = psycopg2.connect(cluster.server.dsn())
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            return {name for (name,) in cursor}
    finally:
        connection.close()


class Happened(Fact, frozen=True):
    """For tests."""

    fact: ClassVar[str] = "lamp.happened"
    number: int


class Busy:
    """A plugin that listens, works and has a command."""

    manifest = Manifest(name="busy", summary="For tests.")
    heard: ClassVar[list[int]] = []

    def __init__(self, context: Context[NoSettings]) -> None:
        self.context = context

    def backend_subscriptions(self) -> Subscriptions:
        async def on_happened(connection: Connection, fact: Happened) -> None:
            Busy.heard.append(fact.number)

        return {Happened: on_happened}

    def backend_workers(self) -> Sequence[Worker]:
        async def work() -> timedelta:
            return timedelta(seconds=7)

        async def lead(term: Term) -> bool:
            return term.number == 3

        hour = timedelta(hours=1)
        return (Worker("busy.work", work, hour), Worker("busy.lead", lead, hour, singleton=True))

    def backend_commands(self) -> typer.Typer:
        app = typer.Typer()

        @app.command()
        def database(word: str) -> None:
            given = input()

            async def work() -> None:
                async with self.context.database.reading() as connection:
                    found = (await connection.exec_driver_sql("SELECT current_database()")).scalar_one()
                typer.echo(f"{word} {found} {given}")

            self.context.run_offline(work)

        return app


async def test_deliver_waits_for_every_listener(boot: Boot) -> None:
    """Once it returns, facts have been handled, in the transactions of the listeners."""
    Busy.heard.clear()
    async with boot(Busy) as booted:
        await booted.deliver(Happened(1), Happened(2))
        assert sorted(Busy.heard) == [1, 2]


async def test_run_pass_returns_when_the_next_is_due(boot: Boot) -> None:
    """A pass runs at once; a singleton that fences its writes gets a term of the test's choice."""
    async with boot(Busy) as booted:
        assert await booted.run_pass("busy.work") == timedelta(seconds=7)
        assert await booted.run_pass("busy.lead", Term("busy.lead", 3)) is True
        assert await booted.run_pass("busy.lead", Term("busy.lead", 4)) is False


async def test_command_runs_beside_the_kernel(boot: Boot) -> None:
    """A plugin's command works on the database of the booted kernel, with the given standard input."""
    async with boot(Busy) as booted:
        done = await booted.command("busy", "hello", given="there\n")
        assert (done.exit_code, done.stdout) == (0, f"hello {booted.dsn.rpartition('/')[2]} there\n")


async def test_drift_shows_what_revisions_lack(boot: Boot) -> None:
    """The tables of the kernel are as described; a table that another hand has changed is named."""
    async with boot() as booted:
        assert await booted.drift("kernel") == []
        async with booted.database.transaction() as connection:
            await connection.exec_driver_sql("ALTER TABLE facts DROP COLUMN last_error")
        [difference] = await booted.drift("kernel")
        assert "facts" in difference and "last_error" in difference
