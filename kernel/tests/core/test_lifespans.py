"""Starting and stopping plugins: who is slow is named."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from galaxy_chassis.clock import ManualClock
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core import lifespans
from galaxy_kernel.core.lifespans import Lifespans
from galaxy_kernel.core.manifest import Manifest, Offer
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.errors import PluginError


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
    monkeypatch.setattr(lifespans, "SLOW", 0.005)
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
    monkeypatch.setattr(lifespans, "SLOW", 0.005)
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
