"""Capabilities: typed keys to the services that plugins offer."""

from typing import Any, TypeVar

from galaxy_contracts.capability import Capability
from galaxy_kernel.errors import CapabilityError

T = TypeVar("T")


class CapabilityRegistry:
    """The services that plugins have offered so far."""

    def __init__(self) -> None:
        self._offers: dict[Capability[Any], tuple[str, Any]] = {}

    def offer(self, plugin: str, capability: Capability[T], implementation: T) -> None:
        """Record an implementation. Two providers of one capability are refused earlier, by their manifests."""
        self._offers[capability] = (plugin, implementation)

    def withdraw(self, plugin: str) -> None:
        """Remove the offers of a stopped plugin."""
        self._offers = {key: offer for key, offer in self._offers.items() if offer[0] != plugin}

    def find(self, capability: Capability[T]) -> T | None:
        """Return the implementation, or None while nobody offers it."""
        offer = self._offers.get(capability)
        return None if offer is None else offer[1]

    def require(self, capability: Capability[T], *, asked_by: str) -> T:
        """Return the implementation. Raise CapabilityError while nobody offers it."""
        found = self.find(capability)
        if found is None:
            raise CapabilityError(
                f"plugin {asked_by!r} asked for {capability.name!r} before its provider was started: "
                "take it in backend_lifespan or later"
            )
        return found
