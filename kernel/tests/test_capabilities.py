"""What plugins have offered, by capability."""

import pytest

from galaxy_contracts.capability import Capability
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.errors import CapabilityError

OUTBOX: Capability[str] = Capability("mail.outbox")
KINDS: Capability[str] = Capability("mail.kinds")
PUSH: Capability[str] = Capability("push.events")


@pytest.fixture
def registry() -> CapabilityRegistry:
    registry = CapabilityRegistry()
    registry.offer("mail", OUTBOX, "the outbox")
    registry.offer("mail", KINDS, "")
    return registry


def test_what_is_offered_is_found(registry: CapabilityRegistry) -> None:
    """It is found by its key, whoever asks."""
    assert registry.find(OUTBOX) == registry.require(OUTBOX, asked_by="auth") == "the outbox"
    assert registry.find(PUSH) is None


def test_a_service_may_be_falsy(registry: CapabilityRegistry) -> None:
    """An empty collection is a service too."""
    assert registry.require(KINDS, asked_by="auth") == ""


def test_what_nobody_offers_is_refused_with_plugin_and_capability(registry: CapabilityRegistry) -> None:
    """The author of the plugin learns that it asked too early."""
    with pytest.raises(CapabilityError, match=r"'auth'.*'push.events'"):
        registry.require(PUSH, asked_by="auth")


def test_a_plugin_that_stops_takes_its_services_along_and_no_others(registry: CapabilityRegistry) -> None:
    """Whoever asks afterwards does not get one that is closed."""
    registry.offer("push", PUSH, "push")
    registry.withdraw("mail")
    assert (registry.find(OUTBOX), registry.find(KINDS), registry.find(PUSH)) == (None, None, "push")
    registry.withdraw("mail")


def test_a_key_is_the_object_itself(registry: CapabilityRegistry) -> None:
    """Another capability of the same name is another: its type may differ."""
    assert registry.find(Capability[str]("mail.outbox")) is None
