"""The life of a process: boot, refusals by name, draining, Postgres away and back."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from structlog.testing import capture_logs

from galaxy_chassis.errors import BootError, ConfigurationError
from galaxy_contracts.capability import Capability
from galaxy_devkit.postgres.server import EmbeddedPostgres
from galaxy_devkit.testing import Boot, Booted
from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_devkit.testing.processes import process_of
from galaxy_kernel.api import Access, Call, Context, Health, Manifest, Model, NoSettings, Offer, Probe, Route, Worker
from galaxy_kernel.core.discovery import discover
from galaxy_kernel.core.hookspecs import HOOKS
from galaxy_kernel.errors import PhaseError, PluginError

ANSWERS: Capability[object] = Capability("base.answers")


class Greeting(Model):
    """The answer of the test's route."""

    hello: str


class Base:
    """A plugin with one contribution of each type."""

    manifest = Manifest(name="base", summary="For tests.", provides=(ANSWERS,))
    trail: ClassVar[list[str]] = []

    def __init__(self, context: Context[NoSettings]) -> None:
        self.context = context
        self.passes = 0
        self.release = asyncio.Event()
        self.entered = asyncio.Event()
        self.state = Health()

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        self.trail.append("base in")
        yield [Offer(ANSWERS, self)]
        self.trail.append("base out")

    def backend_routes(self) -> Sequence[Route]:
        async def greet(call: Call) -> Greeting:
            return Greeting(hello=call.client_address)

        async def slow() -> Greeting:
            self.entered.set()
            await self.release.wait()
            return Greeting(hello="at last")

        return [
            Route("GET", "/api/v1/public/greeting", greet, "base.greet", "Greet.", Access.PUBLIC),
            Route("GET", "/api/v1/public/slow", slow, "base.slow", "Greet slowly.", Access.PUBLIC),
        ]

    def backend_workers(self) -> Sequence[Worker]:
        async def run() -> None:
            self.passes += 1

        return [Worker("base.work", run, timedelta(seconds=30))]

    def backend_probes(self) -> Sequence[Probe]:
        async def check() -> Health:
            return self.state

        return [Probe("relay", check)]


class User:
    """A plugin that requires the first."""

    manifest = Manifest(name="another", summary="For tests.", requires=(ANSWERS,))

    def __init__(self, context: Context[NoSettings]) -> None:
        self.context = context

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        Base.trail.append(f"another in, with {type(self.context.require(ANSWERS)).__name__}")
        yield []
        Base.trail.append("another out")


def with_hooks(plugin_name: str, **hooks: Any) -> type[Any]:
    class Plugin:
        manifest = Manifest(name=plugin_name, summary="For tests.")

        def __init__(self, context: Context[NoSettings]) -> None:
            self.context = context

    for name, hook in hooks.items():
        setattr(Plugin, name, hook)
    return Plugin


async def ready(client: aiohttp.ClientSession) -> tuple[int, dict[str, Any]]:
    async with client.get("/readyz") as response:
        body = await response.json()
        return response.status, {check["name"]: check for check in body["checks"]}


def plugin_of(booted: Booted, kind: type[Any]) -> Any:
    found = dict(booted.kernel.assembly.plugins.call("backend_routes"))
    assert found
    registered = booted.kernel.assembly.plugins._manager.get_plugin(kind.manifest.name)
    assert isinstance(registered, kind)
    return registered


async def test_plugins_start_in_order_and_stop_in_reverse(boot: Boot) -> None:
    """Lifespans nest in dependency order, whatever the order of listing."""
    Base.trail.clear()
    async with boot(User, Base):
        assert Base.trail == ["base in", "another in, with Base"]
    assert Base.trail[2:] == ["another out", "base out"]


async def test_readyz_names_every_check_with_plugin_state_and_since(boot: Boot) -> None:
    """Readiness lists every check; one that only reports does not gate."""
    async with boot(Base) as booted:
        status, checks = await ready(booted.client)
        assert status == 200
        assert {"lifecycle", "postgres", "migrations", "feed", "worker:base.work", "relay"} <= set(checks)
        assert checks["relay"]["plugin"] == "base"
        assert all(check["state"] == "ok" and check["since"].endswith("Z") for check in checks.values())
        plugin_of(booted, Base).state = Health("failed", "no relay")
        booted.kernel.probes.forget()
        status, checks = await ready(booted.client)
        assert (status, checks["relay"]["state"], checks["relay"]["detail"]) == (200, "degraded", "no relay")


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in ("backend_commands", "backend_doctor")])
async def test_failure_in_any_hook_refuses_the_boot_by_name(boot: Boot, hook: str) -> None:
    """The sentence names the plugin and the hook, and what was started is stopped."""

    def fail(self: object) -> None:
        raise RuntimeError("out of coal")

    Base.trail.clear()
    with pytest.raises(PhaseError, match=f"plugin 'culprit' failed in {hook}: RuntimeError: out of coal"):
        async with boot(Base, with_hooks("culprit", **{hook: fail})):
            pass
    assert Base.trail in ([], ["base in", "base out"])


async def test_first_error_is_not_lost_behind_the_cleanup(boot: Boot) -> None:
    """A plugin that fails to start is named first, one that then fails to stop after it."""

    @asynccontextmanager
    async def breaks_on_stop(self: object) -> AsyncIterator[Sequence[Offer[Any]]]:
        yield []
        raise OSError("valve stuck")

    @asynccontextmanager
    async def breaks_on_start(self: object) -> AsyncIterator[Sequence[Offer[Any]]]:
        raise RuntimeError("out of coal")
        yield []

    first = with_hooks("aaa", backend_lifespan=breaks_on_stop)
    second = with_hooks("bbb", backend_lifespan=breaks_on_start)
    with pytest.raises(PhaseError) as caught:
        async with boot(first, second):
            pass
    assert "plugin 'bbb' failed in backend_lifespan: RuntimeError: out of coal" in str(caught.value)
    assert "additionally, cleanup: plugin 'aaa': OSError: valve stuck" in str(caught.value)


async def test_offers_must_be_those_of_the_manifest(boot: Boot) -> None:
    """A plugin that does not offer what its manifest provides is named."""

    class Forgetful(Base):
        @asynccontextmanager
        async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
            yield []

    with pytest.raises(PluginError, match=r"'base' offers \[\] from its lifespan but lists \['base.answers'\]"):
        async with boot(Forgetful):
            pass


async def test_readyz_names_the_plugin_that_is_starting(boot: Boot) -> None:
    """While a plugin's lifespan hangs, readiness says whose, and since when."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    entered, go_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def hangs(self: object) -> AsyncIterator[Sequence[Offer[Any]]]:
        entered.set()
        await go_on.wait()
        yield []

    async def look() -> dict[str, Any]:
        await entered.wait()
        async with aiohttp.ClientSession(f"http://{address}") as client:
            status, checks = await ready(client)
        go_on.set()
        assert status == 503
        return checks

    looking = asyncio.create_task(look())
    environment = {"BACKEND_HTTP_LISTEN_ADDR": address}
    async with boot(with_hooks("culprit", backend_lifespan=hangs), environment=environment) as booted:
        checks = await looking
        assert "building: plugin 'culprit' is starting since 20" in checks["lifecycle"]["detail"]
        booted.kernel.probes.forget()
        assert (await ready(booted.client))[1]["lifecycle"]["detail"] == ""


async def test_a_plugin_that_holds_the_event_loop_is_named(boot: Boot) -> None:
    """A route that computes for longer than a second is reported with its plugin."""

    async def grind(call: Call) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not any(line["event"] == "event_loop_blocked" for line in lines):
            time.sleep(0.01)  # noqa: ASYNC251 - it is what is reported

    def routes(self: object) -> list[Route]:
        return [Route("GET", "/api/v1/public/grind", grind, "culprit.grind", "Grind.", Access.PUBLIC)]

    with capture_logs() as lines:
        async with (
            boot(with_hooks("culprit", backend_routes=routes)) as booted,
            booted.client.get("/api/v1/public/grind") as response,
        ):
            assert response.status == 204
    blocked = next(line for line in lines if line["event"] == "event_loop_blocked")
    assert blocked["plugin"] == "culprit"
    assert any(frame.endswith(" grind") for frame in blocked["frames"])


async def test_the_http_session_outlives_the_plugins(boot: Boot) -> None:
    """A plugin can still call out while it stops; then the session is closed."""
    sessions: list[aiohttp.ClientSession] = []

    class Caller(User):
        manifest = Manifest(name="caller", summary="For tests.")

        @asynccontextmanager
        async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
            sessions.append(self.context.http)
            yield []
            assert not self.context.http.closed

    async with boot(Caller) as booted, sessions[0].get(f"{booted.url}/healthz") as response:
        assert response.status == 200
    assert sessions[0].closed


async def test_an_http_session_can_be_given(boot: Boot) -> None:
    """A test replaces what plugins call out with, and keeps it."""
    async with aiohttp.ClientSession() as session:
        async with boot(User, Base, http_client=session) as booted:
            assert plugin_of(booted, User).context.http is session
        assert not session.closed


async def test_missing_secret_refuses_with_78(boot: Boot) -> None:
    """Settings that `serve` requires are demanded before anything starts."""
    with pytest.raises(ConfigurationError) as caught:
        async with boot(Base, environment={"BACKEND_SECRET_KEY": ""}):
            pass
    assert caught.value.status == 78


async def test_worker_runs_at_once_and_when_woken(boot: Boot) -> None:
    """A pass is made at start; a wake-up cuts the interval short."""
    async with boot(Base) as booted:
        plugin = plugin_of(booted, Base)
        async with asyncio.timeout(5):
            while plugin.passes < 1:
                await asyncio.sleep(0.01)
            plugin.context.wakeups.wake("base.work")
            while plugin.passes < 2:
                await asyncio.sleep(0.01)


async def test_stop_finishes_requests_in_hand(boot: Boot) -> None:
    """A request that arrived before the stop is answered; meanwhile the service is not ready."""
    async with boot(Base) as booted:
        plugin = plugin_of(booted, Base)
        address = booted.url

        async def request() -> int:
            async with aiohttp.ClientSession(address) as client, client.get("/api/v1/public/slow") as response:
                return response.status

        task = asyncio.create_task(request())
        await plugin.entered.wait()

        async def look_then_release() -> int:
            async with aiohttp.ClientSession(address) as client:
                async with asyncio.timeout(5):
                    while (await ready(client))[0] == 200:
                        await asyncio.sleep(0.01)
                status, checks = await ready(client)
                assert checks["lifecycle"]["detail"] == "draining"
                plugin.release.set()
                return status

        looking = asyncio.create_task(look_then_release())
    assert await looking == 503
    assert await task == 200


async def test_postgres_away_and_back(boot: Boot, tmp_path: Path) -> None:
    """While Postgres is down /readyz names it and requests that need none are served; then it recovers."""
    async with EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres, boot(Base, dsn=postgres.dsn()) as booted:
        assert (await ready(booted.client))[0] == 200
        await postgres.stop("immediate")
        booted.kernel.probes.forget()
        status, checks = await ready(booted.client)
        assert (status, checks["postgres"]["state"]) == (503, "failed")
        async with booted.client.get("/healthz") as response:
            assert response.status == 200
        async with booted.client.get("/api/v1/public/greeting") as response:
            assert response.status == 200
        await postgres.start()
        async with asyncio.timeout(15):
            while (await ready(booted.client))[0] != 200:
                await asyncio.sleep(0.1)


async def test_schema_older_than_the_code_refuses_without_migrations(boot: Boot, empty_database: str) -> None:
    """With BACKEND_MIGRATE_ON_START=false the remedy is named."""
    with pytest.raises(BootError, match="backend migrate"):
        async with boot(Base, dsn=empty_database, environment={"BACKEND_MIGRATE_ON_START": "false"}):
            pass


def serving(dsn: str, **environment: str) -> AbstractAsyncContextManager[Process]:
    """Run a process without plugins for the block."""
    disabled = {
        "BACKEND_PLUGINS_DISABLED": ",".join(found.name for found in discover().enabled),
        "BACKEND_POSTGRES_DSN": dsn,
    }
    return process_of(
        *(sys.executable, "-m", "galaxy_kernel", "serve"),
        env={"PATH": os.environ["PATH"], **ENVIRONMENT, **disabled, **environment},
        stdout=PIPE,
        stderr=PIPE,
    )


async def lines_until(process: Process, event: str) -> list[dict[str, Any]]:
    """Return what a process logs up to an event, however slow the machine is; a process that ends is a failure."""
    assert process.stdout is not None
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["event"] != event:
        line = await process.stdout.readline()
        assert line, (lines, await process.stderr.read() if process.stderr else b"")
        lines.append(json.loads(line))
    return lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_logs_json_and_stops_with_zero(empty_database: str, number: int) -> None:
    """A process comes up on an empty database, logs JSON lines only, and a signal ends it with status 0."""
    async with serving(empty_database) as process:
        lines = await lines_until(process, "service_started")
        assert all({"timestamp", "level", "event"} <= set(line) for line in lines)
        process.send_signal(number)
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert [json.loads(line) for line in out.splitlines()]
    assert err == b""


async def test_stop_while_waiting_for_postgres(empty_database: str) -> None:
    """A process that still waits for its database stops at the first signal, and answers probes until then."""
    async with serving("postgres://nobody@127.0.0.1:1/none") as process:
        await lines_until(process, "postgres_connection_failed")
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def test_refused_configuration_exits_78_and_names_every_variable(empty_database: str) -> None:
    """One run shows every fault on stderr, by variable, without the values."""
    faulty = {"BACKEND_SHUTDOWN_TIMEOUT": "soonish", "BACKEND_SECRET_KEY": "tooshort", "BACKEND_LOG_LEVL": "info"}
    async with serving(empty_database, **faulty) as process:
        _, err = await process.communicate()
    assert process.returncode == 78
    text = err.decode()
    assert "BACKEND_SHUTDOWN_TIMEOUT: expected a duration" in text
    assert "BACKEND_SECRET_KEY: expected at least 32 bytes" in text
    assert "BACKEND_LOG_LEVL: unknown variable: did you mean BACKEND_LOG_LEVEL?" in text
    assert "soonish" not in text
    assert "tooshort" not in text
