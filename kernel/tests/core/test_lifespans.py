"""Plugins are started in order and stopped in exactly the reverse one, whatever fails on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from galaxy_chassis.cancellation import StrayCancellationError
from galaxy_chassis.clock import ManualClock
from galaxy_contracts.capability import Capability
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core import lifespans as under_test
from galaxy_kernel.core.lifespans import Lifespans
from galaxy_kernel.core.manifest import Manifest, Offer
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.errors import PhaseError, PluginError

Step = Callable[[], Awaitable[None]]


async def well() -> None:
    """Start or stop without ado."""


class Fleet:
    """Plugins of a kernel, whose starts and stops leave a trail."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.services, self.clock = CapabilityRegistry(), ManualClock()
        self._plugins, self._manifests = PluginSet(), list[Manifest]()

    def add(
        self,
        name: str,
        *,
        start: Step = well,
        stop: Step = well,
        provides: tuple[Capability[Any], ...] = (),
        offers: tuple[Capability[Any], ...] | None = None,
    ) -> "Fleet":
        """Add a plugin; it offers what it provides unless `offers` says otherwise."""
        yielded = [Offer(each, f"{each.name} of {name}") for each in (provides if offers is None else offers)]

        class Plugin:
            @asynccontextmanager
            async def backend_lifespan(plugin) -> AsyncIterator[Sequence[Offer[Any]]]:  # noqa: N805 - self is taken
                await start()
                self.trail.append(f"{name} in")
                yield yielded
                self.trail.append(f"{name} stopping")
                await stop()
                self.trail.append(f"{name} out")

        self._plugins.register(name, Plugin())
        self._manifests.append(Manifest(name, "For tests.", provides=provides))
        return self

    def lifespans(self) -> Lifespans:
        return Lifespans(self._plugins, self._manifests, self.services, self.clock)


def fail(error: BaseException) -> Step:
    async def step() -> None:
        raise error

    return step


async def hang() -> None:
    await asyncio.Event().wait()


async def test_they_nest() -> None:
    """The last to start is the first to stop, and each has stopped before the next is asked to."""
    fleet = Fleet().add("a").add("b").add("c")
    async with AsyncExitStack() as stack:
        await fleet.lifespans().enter(stack)
        assert fleet.trail == ["a in", "b in", "c in"]
    assert fleet.trail[3:] == ["c stopping", "c out", "b stopping", "b out", "a stopping", "a out"]


async def test_a_plugin_without_a_lifespan_is_passed_over() -> None:
    """Only those that have one are started."""
    fleet = Fleet().add("a")
    fleet._plugins.register("plain", object())
    async with AsyncExitStack() as stack:
        await fleet.lifespans().enter(stack)
    assert fleet.trail == ["a in", "a stopping", "a out"]


async def test_services_are_there_from_start_to_stop() -> None:
    """The next plugin finds what the one before offers; while it stops itself, it still has it."""
    one, two = Capability[str]("a.one"), Capability[str]("a.two")
    seen: list[tuple[str | None, str | None]] = []

    async def look() -> None:
        seen.append((fleet.services.find(one), fleet.services.find(two)))

    fleet = Fleet().add("a", provides=(one, two), start=look, stop=look).add("b", start=look, stop=look)
    async with AsyncExitStack() as stack:
        await fleet.lifespans().enter(stack)
    await look()
    both = ("a.one of a", "a.two of a")
    assert seen == [(None, None), both, both, both, (None, None)]


async def test_a_start_that_fails_is_named_and_the_others_are_stopped() -> None:
    """What was started before is unwound; what comes after is never started."""
    fleet = Fleet().add("a").add("b", start=fail(RuntimeError("out of coal"))).add("c")
    lifespans = fleet.lifespans()
    with pytest.raises(PhaseError) as caught:
        async with AsyncExitStack() as stack:
            await lifespans.enter(stack)
    assert (caught.value.plugin, caught.value.phase) == ("b", "backend_lifespan")
    assert isinstance(caught.value.error, RuntimeError)
    assert fleet.trail == ["a in", "a stopping", "a out"]
    assert lifespans.errors == []


async def test_a_start_that_ends_by_a_stray_cancellation_is_named() -> None:
    """What it awaited was cancelled, not the start itself: without a name nobody would know who stops the boot."""
    fleet = Fleet().add("a").add("b", start=fail(asyncio.CancelledError()))
    with pytest.raises(PhaseError) as caught:
        async with AsyncExitStack() as stack:
            await fleet.lifespans().enter(stack)
    assert caught.value.plugin == "b"
    assert isinstance(caught.value.error, StrayCancellationError)
    assert fleet.trail == ["a in", "a stopping", "a out"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)])
async def test_a_stop_that_ends_by_a_stray_cancellation_is_named(error: BaseException) -> None:
    """It keeps nobody else from stopping, and does not end the process."""
    fleet = Fleet().add("a").add("b", stop=fail(error))
    lifespans = fleet.lifespans()
    async with AsyncExitStack() as stack:
        await lifespans.enter(stack)
    assert fleet.trail[2:] == ["b stopping", "a stopping", "a out"]
    assert [each.partition(": ")[0] for each in lifespans.errors] == ["plugin 'b'"]


async def test_a_cancelled_start_is_cancelled() -> None:
    """A signal in the middle of a start is not taken for a plugin's failure."""
    starting = asyncio.Event()

    async def start() -> None:
        starting.set()
        await hang()

    fleet = Fleet().add("a").add("b", start=start)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            await fleet.lifespans().enter(stack)

    task = asyncio.create_task(run())
    await starting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fleet.trail == ["a in", "a stopping", "a out"]


@pytest.mark.parametrize(("provides", "offers"), [(("a.one",), ()), ((), ("a.one",)), (("a.one",), ("a.two",))])
async def test_a_plugin_offers_what_its_manifest_lists(provides: tuple[str, ...], offers: tuple[str, ...]) -> None:
    """Neither less nor more; one that does otherwise is stopped again, and offers nothing."""
    one: dict[str, Capability[Any]] = {name: Capability(name) for name in ("a.one", "a.two")}
    fleet = Fleet().add("a", provides=tuple(map(one.get, provides)), offers=tuple(map(one.get, offers)))  # type: ignore[arg-type] # all are there
    with pytest.raises(PluginError, match="plugin 'a'"):
        async with AsyncExitStack() as stack:
            await fleet.lifespans().enter(stack)
    assert fleet.trail == ["a in", "a stopping", "a out"]
    assert [fleet.services.find(each) for each in one.values()] == [None, None]


async def test_a_stop_that_fails_keeps_nobody_from_stopping() -> None:
    """It is noted and logged by name, its services are gone all the same, and the others stop."""
    service = Capability[str]("b.service")
    fleet = Fleet().add("a").add("b", stop=fail(OSError("valve stuck")), provides=(service,)).add("c")
    lifespans = fleet.lifespans()
    with capture_logs() as lines:
        async with AsyncExitStack() as stack:
            await lifespans.enter(stack)
    assert fleet.trail[3:] == ["c stopping", "c out", "b stopping", "a stopping", "a out"]
    (error,) = lifespans.errors
    assert error.startswith("plugin 'b': OSError: valve stuck (")
    assert "test_lifespans.py:" in error
    assert [(line["event"], line["plugin"]) for line in lines] == [("plugin_stop_failed", "b")]
    assert fleet.services.find(service) is None


async def test_a_stop_that_hangs_is_given_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the deadline each plugin still gets a little time, in which most stop."""
    monkeypatch.setattr(under_test, "_STOP_FLOOR", 0.02)

    async def a_few_turns() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    fleet = Fleet().add("a", stop=a_few_turns).add("b", stop=hang).add("c", stop=a_few_turns)
    lifespans = fleet.lifespans()
    async with AsyncExitStack() as stack:
        await lifespans.enter(stack)
        lifespans.deadline = fleet.clock.monotonic() - 60
    assert fleet.trail[3:] == ["c stopping", "c out", "b stopping", "a stopping", "a out"]
    assert [error.partition(":")[0] for error in lifespans.errors] == ["plugin 'b'"]
    assert "TimeoutError" in lifespans.errors[0]


async def test_the_time_to_stop_is_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draining and the plugins that stop earlier use it up; without a deadline there is no limit."""
    limits: list[float | None] = []
    timeout = asyncio.timeout

    def watched(seconds: float | None) -> asyncio.Timeout:
        limits.append(seconds)
        return timeout(seconds)

    async def take_three_seconds() -> None:
        fleet.clock.advance(timedelta(seconds=3))

    fleet = Fleet()
    for name in ("a", "b", "c"):
        fleet.add(name, stop=take_three_seconds)
    for deadline, expected in ((float("inf"), [None] * 3), (fleet.clock.monotonic() + 16.5, [7.5, 4.5, 2.0])):
        lifespans = fleet.lifespans()
        async with AsyncExitStack() as stack:
            await lifespans.enter(stack)
            lifespans.deadline = deadline
            monkeypatch.setattr(asyncio, "timeout", watched)
        monkeypatch.setattr(asyncio, "timeout", timeout)
        assert limits == expected
        limits.clear()


class Slow:
    """A plugin whose start and stop wait to be let go."""

    def __init__(self) -> None:
        self.start, self.stop, self.offers = asyncio.Event(), asyncio.Event(), ()

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        await self.start.wait()
        yield self.offers
        await self.stop.wait()


def lifespans_of(plugin: object, clock: ManualClock) -> Lifespans:
    plugins = PluginSet()
    plugins.register("slow", plugin)
    return Lifespans(plugins, [Manifest("slow", "Slow.")], CapabilityRegistry(), clock)


async def named(lines: Sequence[Any], count: int) -> list[Any]:
    """Wait for the log to name slow plugins so many times."""
    async with asyncio.timeout(10):
        while len(found := [line for line in lines if line["event"] == "lifespan_slow"]) < count:
            await asyncio.sleep(0.001)
    return found


async def test_a_plugin_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a plugin starts or stops, it and the time are at hand, and the log names it until it is done."""
    monkeypatch.setattr(under_test, "SLOW", 0.005)
    plugin, clock = Slow(), ManualClock()
    spans = lifespans_of(plugin, clock)
    with capture_logs() as lines:
        stack = AsyncExitStack()
        entering = asyncio.create_task(spans.enter(stack))
        await asyncio.sleep(0)
        assert spans.current == "plugin 'slow' is starting since 2030-01-01T00:00:00Z"
        clock.advance(timedelta(seconds=12))
        lines_of_start = await named(lines, 3)
        plugin.start.set()
        await entering
        assert spans.current == ""
        leaving = asyncio.create_task(stack.aclose())
        await asyncio.sleep(0)
        assert spans.current == "plugin 'slow' is stopping since 2030-01-01T00:00:12Z"
        lines_of_stop = await named(lines, len(lines_of_start) + 1)
        plugin.stop.set()
        await leaving
        assert spans.current == ""
    assert {(line["plugin"], line["phase"], line["seconds"]) for line in lines_of_start} == {("slow", "starting", 12.0)}
    assert lines_of_stop[-1]["phase"] == "stopping"


async def test_a_quick_plugin_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that has started in time is never called slow afterwards."""
    monkeypatch.setattr(under_test, "SLOW", 0.005)
    plugin = Slow()
    plugin.start.set()
    plugin.stop.set()
    with capture_logs() as lines:
        async with AsyncExitStack() as stack:
            await lifespans_of(plugin, ManualClock()).enter(stack)
            await asyncio.sleep(0.02)
    assert lines == []


async def test_what_is_no_offer_is_refused_by_name() -> None:
    """A lifespan that yields its service itself is told so."""
    plugin: Any = Slow()
    plugin.start.set()
    plugin.stop.set()
    plugin.offers = [object()]
    async with AsyncExitStack() as stack:
        with pytest.raises(
            PluginError, match=r"plugin 'slow': what backend_lifespan yields, an item: expected .*Offer"
        ):
            await lifespans_of(plugin, ManualClock()).enter(stack)
