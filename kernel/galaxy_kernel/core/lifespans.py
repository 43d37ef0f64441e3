"""Enters the plugins' lifespans in dependency order, and leaves them in exactly the reverse order."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.clock import Clock
from galaxy_chassis.errors import place
from galaxy_chassis.logs import get_logger
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core.contributions import check_items
from galaxy_kernel.core.manifest import Manifest, Offer
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.errors import PhaseError, PluginError

_log = get_logger("galaxy_kernel.core.lifespans", plugin="kernel")

_STOP_FLOOR = 2.0
"""Seconds a plugin gets to stop even when draining has used up the whole time."""
SLOW = 10.0
"""Seconds after which a plugin that has not started or stopped is named in the log; and again at twice as many."""


class Lifespans:
    """The lifespans of one kernel's plugins."""

    def __init__(
        self, plugins: PluginSet, manifests: Iterable[Manifest], services: CapabilityRegistry, clock: Clock
    ) -> None:
        self._plugins, self._services, self._clock = plugins, services, clock
        self._manifests = {manifest.name: manifest for manifest in manifests}
        self.deadline = float("inf")
        """The monotonic second by which everything should have stopped; each plugin gets a little time even later."""
        self.errors: list[str] = []
        """Failures while stopping, one sentence each."""
        self.current = ""
        """Which plugin is starting or stopping, and since when; empty between two."""

    async def enter(self, stack: AsyncExitStack) -> None:
        """Start every plugin and record its offers. Raise PhaseError or PluginError; `stack` unwinds the others."""
        for name, lifespan in self._plugins.call("backend_lifespan"):
            try:
                with self._watched(name, "starting"), own_cancellation_only():
                    offers = await lifespan.__aenter__()
            except Exception as error:
                raise PhaseError(name, "backend_lifespan", error, self._plugins.package(name)) from error
            stack.push_async_callback(self._leave, name, lifespan)
            self._take_offers(name, offers)

    @contextmanager
    def _watched(self, name: str, phase: str) -> Iterator[None]:
        """Record what is running, for `/readyz`, and log it when it takes long."""
        loop, begun = asyncio.get_running_loop(), self._clock.monotonic()
        self.current = f"plugin {name!r} is {phase} since {self._clock.now():%Y-%m-%dT%H:%M:%SZ}"

        def warn(pause: float) -> None:
            _log.warning("lifespan_slow", plugin=name, phase=phase, seconds=round(self._clock.monotonic() - begun, 1))
            timers.append(loop.call_later(pause, warn, pause * 2))

        timers = [loop.call_later(SLOW, warn, SLOW)]
        try:
            yield
        finally:
            timers[-1].cancel()
            self.current = ""

    def _take_offers(self, name: str, offers: Sequence[Offer[Any]] | None) -> None:
        check_items(f"plugin {name!r}: what backend_lifespan yields", offers or (), Offer)
        provides = self._manifests[name].provides
        offered = [offer.capability for offer in offers or ()]
        if set(offered) != set(provides):
            raise PluginError(
                f"plugin {name!r} offers {[each.name for each in offered]} from its lifespan but lists "
                f"{[each.name for each in provides]} in its manifest: the two must be the same"
            )
        for offer in offers or ():
            self._services.offer(name, offer.capability, offer.implementation)

    async def _leave(self, name: str, lifespan: Any) -> None:
        remaining = max(_STOP_FLOOR, self.deadline - self._clock.monotonic())
        try:
            async with asyncio.timeout(None if remaining == float("inf") else remaining):
                with self._watched(name, "stopping"), own_cancellation_only():
                    await lifespan.__aexit__(None, None, None)
        except Exception as error:  # a plugin that fails to stop must not prevent the others from stopping
            where = place(error, self._plugins.package(name))
            self.errors.append(f"plugin {name!r}: {type(error).__name__}: {error} ({where})")
            _log.error("plugin_stop_failed", plugin=name, exc_info=error)
        finally:
            self._services.withdraw(name)
