"""Every hook in use: for each a plugin with that hook alone, and what the kernel makes of its contribution."""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import grpc
import msgspec
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from galaxy_contracts.capability import Capability
from galaxy_contracts.fact import Fact
from galaxy_devkit.testing import Boot
from galaxy_kernel.api import (
    Access,
    Cache,
    Connection,
    Context,
    DoctorCheck,
    Finding,
    Health,
    Manifest,
    Migrations,
    Model,
    NoSettings,
    Offer,
    Probe,
    Route,
    RpcService,
    Subscriptions,
    Worker,
    plugin_metadata,
)
from galaxy_kernel.cli.doctor import contributed, with_settings
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.hookspecs import HOOKS, HookSpecs

metadata = plugin_metadata()
words = sa.Table("demo_words", metadata, sa.Column("word", sa.Text, primary_key=True))
REVISION = '''"""Words."""

import sqlalchemy as sa
from alembic import op

revision = "demo_0001"
down_revision = None
branch_labels = ("demo",)


def upgrade() -> None:
    op.create_table("demo_words", sa.Column("word", sa.Text, primary_key=True))
    op.execute("INSERT INTO demo_words VALUES ('hello')")
'''
LIGHT: Capability[str] = Capability("demo.light")


class Demo:
    """A plugin without a hook, which keeps its last instance."""

    manifest = Manifest(name="demo", summary="For tests.")
    last: ClassVar[Any] = None

    def __init__(self, context: Context[NoSettings]) -> None:
        self.context = context
        Demo.last = self


class Word(Model):
    """What a route answers."""

    word: str


class Row(msgspec.Struct, frozen=True):
    """A row of the table of words."""

    word: str


class Said(Fact, frozen=True):
    """A fact of the tests."""

    fact: ClassVar[str] = "demo.said"
    word: str


def test_every_hook_has_a_test_of_its_name() -> None:
    """Whoever adds a hook shows here what it does."""
    assert {f"test_{hook}" for hook in HOOKS} <= set(globals())


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_typed_and_takes_nothing(hook: str) -> None:
    """Its annotation is what contributions are compared with; what a plugin needs it has from its context."""
    signature = inspect.signature(getattr(HookSpecs, hook))
    assert list(signature.parameters) == ["self"]
    assert signature.return_annotation is not inspect.Signature.empty
    with pytest.raises(NotImplementedError):
        getattr(HookSpecs(), hook)()


def test_every_method_is_a_hook() -> None:
    """Names begin with `backend_`: that is how plugins' methods are told from hooks."""
    methods = {name for name in vars(HookSpecs) if not name.startswith("__")}
    assert methods == set(HOOKS)


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migrations:
    """Lay out the revisions of the table of words."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / f"demo_migrations_{tmp_path.name.replace('-', '_')}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "0001_words.py").write_text(REVISION)
    return Migrations(package.name, metadata)


async def test_backend_migrations(boot: Boot, migrations: Migrations, empty_database: str) -> None:
    """The plugin's branch is applied before anything is started."""

    class Plugin(Demo):
        def backend_migrations(self) -> Migrations:
            return migrations

    async with boot(Plugin, dsn=empty_database) as booted, booted.database.reading() as connection:
        assert (await connection.execute(sa.select(words.c.word))).scalars().all() == ["hello"]


async def test_backend_lifespan(boot: Boot) -> None:
    """The plugin is started before the service is ready, offers its service, and is stopped at the end."""
    trail: list[str] = []

    class Plugin(Demo):
        manifest = Manifest(name="demo", summary="For tests.", provides=(LIGHT,))

        @asynccontextmanager
        async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
            trail.append("in")
            yield [Offer(LIGHT, "light")]
            trail.append("out")

    async with boot(Plugin) as booted:
        assert booted.kernel.services.find(LIGHT) == "light"
        assert trail == ["in"]
    assert trail == ["in", "out"]


async def test_backend_caches(boot: Boot, migrations: Migrations, empty_database: str) -> None:
    """The table is in memory when the service is ready."""
    cache: Cache[str, Row] = Cache(name="demo.words", table=words, row=Row, key=lambda row: row.word)

    class Plugin(Demo):
        def backend_migrations(self) -> Migrations:
            return migrations

        def backend_caches(self) -> Sequence[Cache[Any, Any]]:
            return [cache]

    async with boot(Plugin, dsn=empty_database):
        assert cache.get("hello") == Row("hello")
        assert cache.get("bye") is None


async def test_backend_probes(boot: Boot) -> None:
    """The check is asked whenever readiness is, and shown under the plugin's name."""

    class Plugin(Demo):
        def backend_probes(self) -> Sequence[Probe]:
            async def check() -> Health:
                return Health("failed", "no light")

            return [Probe("lamp", check, gates="ready")]

    async with boot(Plugin) as booted, booted.client.get("/readyz") as response:
        (shown,) = [check for check in (await response.json())["checks"] if check["plugin"] == "demo"]
        assert (response.status, shown["name"], shown["detail"]) == (503, "lamp", "no light")


async def test_backend_routes(boot: Boot) -> None:
    """The operation is served, and described."""

    class Plugin(Demo):
        def backend_routes(self) -> Sequence[Route]:
            async def say(word: str) -> Word:
                return Word(word=word)

            path = "/api/v1/public/words/{word}"
            return [Route("GET", path, say, "demo.say", "Say a word.", Access.PUBLIC)]

    async with boot(Plugin) as booted:
        async with booted.client.get("/api/v1/public/words/hello") as response:
            assert (response.status, await response.json()) == (200, {"word": "hello"})
        async with booted.client.get("/openapi.json") as response:
            assert "/api/v1/public/words/{word}" in (await response.json())["paths"]


async def test_backend_rpc(boot: Boot) -> None:
    """The service answers on the kernel's listener, to whoever shows the gateway's token."""

    async def say(request: bytes, context: Any) -> bytes:
        return request

    class Plugin(Demo):
        def backend_rpc(self) -> Sequence[RpcService]:
            name, handlers = "galaxy.demo.v1.Demo", {"Say": grpc.unary_unary_rpc_method_handler(say)}
            handler = grpc.method_handlers_generic_handler(name, handlers)
            return [RpcService(name, lambda server: server.add_generic_rpc_handlers((handler,)))]

    async with boot(Plugin) as booted:
        assert booted.kernel.rpc is not None
        async with grpc.aio.insecure_channel(booted.kernel.rpc.address) as channel:
            call = channel.unary_unary("/galaxy.demo.v1.Demo/Say")
            token = booted.kernel.assembly.kernel_settings.token
            assert await call(b"hello", metadata=(("x-gateway-token", token),)) == b"hello"


async def test_backend_workers(boot: Boot) -> None:
    """A pass is made once the service is ready, and another whenever the worker is woken."""
    passes = asyncio.Queue[None]()

    class Plugin(Demo):
        def backend_workers(self) -> Sequence[Worker]:
            async def run() -> None:
                passes.put_nowait(None)

            return [Worker("demo.work", run, timedelta(hours=1))]

    async with boot(Plugin), asyncio.timeout(10):
        await passes.get()
        Demo.last.context.wakeups.wake("demo.work")
        await passes.get()


async def test_backend_subscriptions(boot: Boot) -> None:
    """A fact that was recorded with a transaction is heard after its commit."""
    heard = asyncio.Queue[str]()

    class Plugin(Demo):
        def backend_subscriptions(self) -> Subscriptions:
            async def hear(connection: Connection, fact: Said) -> None:
                heard.put_nowait(fact.word)

            return {Said: hear}

    async with boot(Plugin) as booted, asyncio.timeout(10):
        async with booted.database.transaction() as connection:
            await Demo.last.context.facts.record(connection, Said("hello"))
        assert await heard.get() == "hello"


def test_backend_commands() -> None:
    """The commands are made without a kernel that runs, and with settings that are faulty."""

    class Plugin(Demo):
        def backend_commands(self) -> typer.Typer:
            app = typer.Typer()

            @app.command()
            def say(word: str) -> None:
                typer.echo(f"{self.context.plugin} says {word}")

            return app

    assembly = assemble({"BACKEND_LOG_LEVEL": "loud"}, discovery=from_classes(Plugin))
    ((plugin, app),) = assembly.plugins.call("backend_commands")
    done = CliRunner().invoke(app, ["hello"])
    assert (plugin, done.exit_code, done.stdout) == ("demo", 0, "demo says hello\n")


async def test_backend_doctor() -> None:
    """The checks are made without a kernel that runs, and each is a finding with the plugin's name in front."""

    class Plugin(Demo):
        def backend_doctor(self) -> Sequence[DoctorCheck]:
            return [DoctorCheck("lamp", self.look), DoctorCheck("fuse", self.replace, option="send-test-mail")]

        async def look(self) -> Sequence[Finding]:
            return [Finding("lamp", "failed", "is dark: screw it in")]

        async def replace(self, by: str) -> Sequence[Finding]:
            return [Finding("fuse", "ok", f"replaced by {by}")]

    assembly = assemble({"BACKEND_LOG_LEVEL": "loud"}, discovery=from_classes(Plugin))
    asked, faults = contributed(assembly, {})
    assert await with_settings(asked, {}) == [Finding("demo: lamp", "failed", "is dark: screw it in")]
    options = {"send-test-mail": "10 A", "nonsense": "1"}
    asked, faults = contributed(assembly, options)
    assert (await with_settings(asked, options))[1] == Finding("demo: fuse", "ok", "replaced by 10 A")
    assert faults == [Finding("nonsense", "failed", "no enabled plugin has --nonsense")]
