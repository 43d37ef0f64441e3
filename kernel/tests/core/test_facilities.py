"""What plugins stand on: collected, checked and set going; undone when something fails, and drained in time."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

import aiohttp
import grpc
import msgspec
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from galaxy_chassis.clock import SystemClock
from galaxy_chassis.errors import BootError
from galaxy_chassis.health import Health, Probe, Probes
from galaxy_chassis.process import BackgroundTasks
from galaxy_contracts.database import Connection
from galaxy_contracts.fact import Fact
from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_kernel.api import Access, Cache, Context, Manifest, Model, Route, RpcService, Worker
from galaxy_kernel.caches.registry import Caches
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.context import make_resources
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.core.facilities import Facilities
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.errors import PhaseError, PluginError

PATH = "/api/v1/public/word"


class Word(Model):
    """What the route answers."""

    word: str


async def word() -> Word:
    return Word(word="hello")


async def nothing() -> None:
    """Do one pass."""


def plugin(name: str, **contributions: Any) -> type[Any]:
    """Make a plugin whose hooks return what is given, or raise it."""

    class Plugin:
        manifest = Manifest(name=name, summary="For tests.")

        def __init__(self, context: Context[Any]) -> None:
            self.context = context

    for hook, given in contributions.items():
        setattr(Plugin, f"backend_{hook}", _returning(given))
    return Plugin


def _returning(given: Any) -> Callable[[Any], Any]:
    def hook(self: Any) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    return hook


def route(handler: Callable[..., Awaitable[Any]] = word, path: str = PATH, name: str = "p.word") -> Route:
    return Route("GET", path, handler, name, "Say a word.", Access.PUBLIC)


def echo() -> RpcService:
    async def say(request: bytes, context: Any) -> bytes:
        return request

    handlers = {"Say": grpc.unary_unary_rpc_method_handler(say)}

    def add(server: Any) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("galaxy.test.v1.Echo", handlers),))

    return RpcService("galaxy.test.v1.Echo", add)


class Site:
    """Facilities of some plugins, listening."""

    def __init__(self, dsn: str, *factories: type[Any], **environment: str) -> None:
        environment = {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn, **environment}
        self.assembly = assemble(environment, discovery=from_classes(*factories))
        self.crashed = asyncio.Event()
        self.probes, self.tasks = Probes(SystemClock()), BackgroundTasks(self.crashed.set)
        self.services = CapabilityRegistry()
        self.database = Database(make_engine(dsn, pool_size=3), "public")
        self.facilities = Facilities(
            self.assembly,
            clock=SystemClock(),
            random=random.Random(1),
            services=self.services,
            probes=self.probes,
            tasks=self.tasks,
        )
        self.resources = make_resources(
            self.database, self.services, b"", clock=SystemClock(), random=secrets.SystemRandom()
        )

    async def get(self, path: str) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{self.facilities.http.address}{path}") as response,
        ):
            return response.status, await response.json()

    async def checks(self) -> dict[str, tuple[str, str]]:
        self.probes.forget()
        return {check["name"]: (check["plugin"], check["state"]) for check in (await self.probes.report())[1]["checks"]}


Sites = Callable[..., Awaitable[Site]]


@pytest.fixture
async def site(world_dsn: str) -> AsyncIterator[Sites]:
    """Return what makes facilities that listen, on a database with the kernel's tables; all are taken down."""
    async with AsyncExitStack() as stack:

        async def make(*factories: type[Any], **environment: str) -> Site:
            made = Site(world_dsn, *factories, **environment)
            stack.push_async_callback(made.database.close)
            await made.facilities.listen()
            stack.push_async_callback(made.facilities.http.server.close)
            return made

        yield make


@asynccontextmanager
async def built(site: Site) -> AsyncIterator[Site]:
    async with await site.facilities.build(site.resources):
        yield site


async def test_probes_answer_before_anything_is_built(site: Sites) -> None:
    """The process is alive, says why it is not ready, and serves nothing else."""
    made = await site(plugin("p", routes=[route()]))

    async def gone() -> Health:
        return Health("failed", "gone")

    made.probes.add("kernel", [Probe("postgres", gone, gates="ready")])
    assert (await made.get("/healthz")) == (200, {"status": "alive"})
    status, body = await made.get("/readyz")
    assert (status, body["status"], body["checks"][0]["detail"]) == (503, "not_ready", "gone")
    status, body = await made.get(PATH)
    assert (status, body["code"]) == (503, "starting")


async def test_an_address_that_is_taken_refuses_the_boot(site: Sites) -> None:
    """The variable is named."""
    first = await site()
    with pytest.raises(BootError, match="BACKEND_HTTP_LISTEN_ADDR"):
        await site(BACKEND_HTTP_LISTEN_ADDR=first.facilities.http.address)


async def test_what_plugins_contribute_works_once_built(site: Sites) -> None:
    """Routes are served, workers run, probes are asked; all under their plugin's name."""
    ran = asyncio.Event()

    async def run() -> None:
        ran.set()

    async def fine() -> Health:
        return Health()

    made = await site(
        plugin(
            "p", routes=[route()], workers=[Worker("p.work", run, timedelta(hours=1))], probes=[Probe("relay", fine)]
        )
    )
    async with built(made), asyncio.timeout(10):
        assert (await made.get(PATH)) == (200, {"word": "hello"})
        assert (await made.get("/readyz"))[0] == 200
        await ran.wait()
        checks = await made.checks()
        assert checks["relay"] == checks["worker:p.work"] == ("p", "ok")
        assert checks["worker:kernel.feed_trim"] == checks["feed"] == ("kernel", "ok")
        assert "grpc_listener" not in checks
        assert made.facilities.rpc is None
    assert not made.crashed.is_set()


class Held:
    """A worker and a route that go on until they are let go."""

    def __init__(self) -> None:
        self.working, self.serving, self.release = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.finished: list[str] = []

    async def work(self) -> None:
        self.working.set()
        await self.release.wait()
        self.finished.append("work")

    async def serve(self) -> Word:
        self.serving.set()
        await self.release.wait()
        self.finished.append("serve")
        return Word(word="at last")

    def plugin(self) -> type[Any]:
        return plugin("p", routes=[route(self.serve)], workers=[Worker("p.work", self.work, timedelta(hours=1))])


class Dawned(Fact, frozen=True):
    """A fact that a plugin listens to."""

    fact: ClassVar[str] = "p.dawned"
    day: int


async def test_a_listener_hears_of_facts(site: Sites) -> None:
    """Its worker is the kernel's, and supervised like any."""
    heard = asyncio.Queue[int]()

    async def hear(connection: Connection, fact: Dawned) -> None:
        heard.put_nowait(fact.day)

    made = await site(plugin("p", subscriptions={Dawned: hear}))
    async with built(made), asyncio.timeout(10):
        async with made.database.transaction() as connection:
            await made.resources.facts.record(connection, Dawned(7))
        assert await heard.get() == 7


async def test_leaving_ends_the_workers(site: Sites) -> None:
    """A pass that goes on for ever is cut off before what it stands on is taken away."""
    held = Held()
    made = await site(held.plugin())
    async with built(made), asyncio.timeout(10):
        await held.working.wait()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("worker ")] == []
    assert held.finished == []


async def test_grpc_is_opened_when_a_plugin_contributes_a_service(site: Sites) -> None:
    """Its listener gates readiness while it is bound, and is gone with the rest."""
    made = await site(plugin("p", rpc=[echo()]))
    async with built(made):
        assert made.facilities.rpc is not None
        assert (await made.checks())["grpc_listener"] == ("kernel", "ok")
    assert (await made.checks())["grpc_listener"] == ("kernel", "failed")


@pytest.mark.parametrize("other", ["q", "p"])
async def test_two_workers_of_one_name_are_refused(site: Sites, other: str) -> None:
    """A wake-up goes by the name; the refusal tells both plugins."""
    twice = [Worker("p.work", nothing, timedelta(hours=1))]
    factories = [plugin("p", workers=twice * (2 if other == "p" else 1))]
    if other != "p":
        factories.append(plugin(other, workers=twice))
    made = await site(*factories)
    with pytest.raises(PluginError, match=rf"plugin '{other}' .*'p.work'.* 'p'"):
        await made.facilities.build(made.resources)


@pytest.mark.parametrize("hook", ["caches", "subscriptions", "routes", "rpc", "workers", "probes"])
async def test_a_hook_that_fails_is_named_and_nothing_stays_begun(site: Sites, hook: str) -> None:
    """No task runs on, no port stays open, and the API stays closed."""
    before = asyncio.all_tasks()
    made = await site(plugin("a", routes=[route()], rpc=[echo()]), plugin("b", **{hook: RuntimeError("out of coal")}))
    with pytest.raises(PhaseError) as caught:
        await made.facilities.build(made.resources)
    assert (caught.value.plugin, caught.value.phase) == ("b", f"backend_{hook}")
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() - before if task.get_name() == "caches"} == set()
    assert made.facilities.rpc is None or not made.facilities.rpc.bound


async def test_a_route_that_cannot_stand_undoes_what_had_begun(site: Sites) -> None:
    """The caches follow the feed by then: that ends too, and is not a crash."""
    made = await site(plugin("p", routes=[route(path="/elsewhere")]))
    with pytest.raises(PluginError, match="plugin 'p', route 'p.word'"):
        await made.facilities.build(made.resources)
    assert [task for task in asyncio.all_tasks() if task.get_name() == "caches"] == []
    assert made.tasks.crash is None
    assert (await made.get(PATH))[1]["code"] == "starting"


async def test_caches_that_cannot_be_loaded_refuse_the_boot(site: Sites) -> None:
    """A table that is not there is an error of the phase, not a crash of some task later."""

    class Thing(msgspec.Struct, frozen=True):
        name: str

    table = sa.Table("not_there", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True))
    cache: Cache[str, Thing] = Cache(name="p.things", table=table, row=Thing, key=lambda thing: thing.name)
    made = await site(plugin("p", caches=[cache]))
    with pytest.raises(PhaseError, match="plugin 'p' failed in loading the cache 'p.things': ProgrammingError"):
        await made.facilities.build(made.resources)
    assert (await made.get(PATH))[1]["code"] == "starting"


async def test_a_refusal_of_the_caches_own_is_passed_on(site: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says already what is wrong, and with what."""

    async def load(self: Caches) -> None:
        raise PluginError("plugin 'p': cache 'p.things' on purpose")

    monkeypatch.setattr(Caches, "load", load)
    made = await site()
    with pytest.raises(PluginError, match="on purpose"):
        await made.facilities.build(made.resources)


async def test_draining_finishes_what_is_in_hand(site: Sites) -> None:
    """Requests and passes that have begun end well; what comes later is turned away."""
    held = Held()
    made = await site(held.plugin())
    async with built(made), asyncio.timeout(20):
        request = asyncio.create_task(made.get(PATH))
        await asyncio.gather(held.working.wait(), held.serving.wait())
        draining = asyncio.create_task(made.facilities.drain(10))
        while (await made.get(PATH + "s"))[1]["code"] != "stopping":
            pass
        assert not draining.done()
        held.release.set()
        with capture_logs() as lines:
            await draining
        assert (await request)[0] == 200
    assert sorted(held.finished) == ["serve", "work"]
    assert [line for line in lines if line["event"] == "workers_cancelled"] == []


async def test_draining_ends_in_its_time(site: Sites) -> None:
    """What has not finished is cut short: requests are answered, workers named."""
    held = Held()
    made = await site(held.plugin(), plugin("q", rpc=[echo()]))
    async with built(made), asyncio.timeout(20):
        request = asyncio.create_task(made.get(PATH))
        await asyncio.gather(held.working.wait(), held.serving.wait())
        with capture_logs() as lines:
            await made.facilities.drain(0.05)
        status, body = await request
        assert (status, body["code"]) == (503, "stopping")
        assert made.facilities.rpc is not None and not made.facilities.rpc.bound
    assert held.finished == []
    assert [line["workers"] for line in lines if line["event"] == "workers_cancelled"] == [["p.work"]]


async def test_draining_before_anything_is_built_is_fine(site: Sites) -> None:
    """A stop in the middle of coming up drains what there is."""
    made = await site(plugin("p", routes=[route()]))
    await made.facilities.drain(1)
    assert (await made.get(PATH))[1]["code"] == "stopping"


async def test_a_cache_task_that_ends_stops_the_process(site: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that no longer follows would serve what is gone."""

    async def run(self: Caches) -> None:
        raise RuntimeError("lost the feed")

    monkeypatch.setattr(Caches, "run", run)
    made = await site()
    async with built(made), asyncio.timeout(10):
        await made.crashed.wait()
    assert str(made.tasks.crash) == "lost the feed"


async def test_the_sequence_of_hooks_is_the_documented_one(site: Sites) -> None:
    """Every listener is known before facts are sealed, and workers come after: a pass may record facts."""
    seen: list[str] = []

    class Telling:
        manifest = Manifest(name="p", summary="For tests.")

        def __init__(self, context: Context[Any]) -> None: ...

    def hook(name: str) -> Callable[[Any], Any]:
        def tell(self: Any) -> Any:
            seen.append(name)
            return {} if name == "subscriptions" else []

        return tell

    for name in ("caches", "subscriptions", "routes", "rpc", "workers", "probes"):
        setattr(Telling, f"backend_{name}", hook(name))
    made = await site(Telling)
    seal = made.resources.facts.seal

    def watched() -> None:
        seen.append("sealed")
        seal()

    made.resources.facts.seal = watched  # type: ignore[method-assign] # to see when
    async with built(made):
        assert seen == ["caches", "subscriptions", "sealed", "routes", "rpc", "workers", "probes"]
