"""A plugin's view of its kernel: what its manifest lists, and nothing else."""

import hashlib
import hmac
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.config.settings import NoSettings
from galaxy_contracts.capability import Capability
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core.context import Context, KernelResources, make_resources
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.database import Database, make_engine
from galaxy_kernel.errors import CapabilityError

OUTBOX: Capability[list[str]] = Capability("mail.outbox")
PUSH: Capability[list[str]] = Capability("push.events")
OTHER: Capability[list[str]] = Capability("other.things")


class World:
    """A kernel's shared resources, on a database that nobody connects to, and a plugin's context."""

    def __init__(self, plugin: str = "auth", key: bytes = b"k" * 32) -> None:
        self.services, self.clock = CapabilityRegistry(), ManualClock()
        self.database = Database(make_engine("postgres://nobody@127.0.0.1:1/none"), "backend")
        self.random = random.Random(1)
        self.resources: KernelResources = make_resources(
            self.database, self.services, key, clock=self.clock, random=self.random
        )
        self.run: list[Callable[[], Awaitable[None]]] = []
        manifest = Manifest(name=plugin, summary="For tests.", requires=(OUTBOX,), uses=(PUSH,))
        log: Any = object()
        self.context = Context(
            manifest, NoSettings, lambda: self.resources, self.run.append, log, NoOpTracer(), NoOpMeter("m")
        )


def test_what_the_kernel_shares_is_the_same_for_all() -> None:
    """Plugins of one kernel see one database, one clock, one set of facts and wake-ups."""
    world = World()
    context, shared = world.context, world.resources
    assert context.database is world.database is shared.database
    assert (context.facts, context.wakeups) == (shared.facts, shared.wakeups)
    assert (context.clock, context.random) == (world.clock, world.random)
    assert context.plugin == "auth"
    assert isinstance(context.settings, NoSettings)


async def test_plugins_share_one_http_session() -> None:
    """It is there once the kernel shares its resources, and is one for all."""
    world = World()
    session = world.context.http
    assert session is world.context.http is world.resources.http.session
    await world.resources.http.close()
    assert session.closed


def test_a_required_service_is_its_providers() -> None:
    """It is there once its provider is started; before, the plugin hears when to ask."""
    world = World()
    with pytest.raises(CapabilityError, match=r"'auth' .*'mail.outbox'.* backend_lifespan"):
        world.context.require(OUTBOX)
    outbox = ["the outbox"]
    world.services.offer("mail", OUTBOX, outbox)
    assert world.context.require(OUTBOX) is outbox


def test_a_service_that_is_only_used_may_be_absent() -> None:
    """None says that no installed plugin provides it."""
    world = World()
    assert world.context.find(PUSH) is None
    push = ["push"]
    world.services.offer("push", PUSH, push)
    assert world.context.find(PUSH) is push


@pytest.mark.parametrize("offered", [False, True])
def test_what_the_manifest_does_not_list_is_refused(offered: bool) -> None:
    """Whether or not it is there: order comes from manifests alone. `requires` and `uses` are kept apart."""
    world = World()
    if offered:
        for capability in (OUTBOX, PUSH, OTHER):
            world.services.offer("someone", capability, [])
    for ask, capability, list_ in (
        (world.context.require, OTHER, "requires"),
        (world.context.require, PUSH, "requires"),
        (world.context.find, OTHER, "uses"),
        (world.context.find, OUTBOX, "uses"),
    ):
        with pytest.raises(CapabilityError, match=rf"'auth' .*'{capability.name}'.*{list_}"):
            ask(capability)


def test_commands_run_offline_through_the_kernel() -> None:
    """What a command hands over is what is run."""
    world = World()

    async def work() -> None: ...

    world.context.run_offline(work)
    assert world.run == [work]


@given(st.binary(min_size=32, max_size=64), st.text(max_size=20), st.integers(1, 64))
def test_derived_keys_are_hkdfs_first_block(secret: bytes, purpose: str, length: int) -> None:
    """T(1) = HMAC(PRK, info | 0x01) of RFC 5869, 2.3, with plugin and purpose in the info."""
    world = World("auth", secret)
    expected = hmac.new(secret, f"galaxy/auth/{purpose}".encode() + b"\x01", hashlib.sha512).digest()[:length]
    assert world.context.derive_key(purpose, length) == expected


def test_no_two_share_a_key() -> None:
    """Neither two plugins, nor two purposes of one, nor two deployments."""
    keys = {
        World(plugin, secret).context.derive_key(purpose)
        for plugin in ("auth", "mail")
        for secret in (b"a" * 32, b"b" * 32)
        for purpose in ("codes", "tokens")
    }
    assert len(keys) == 8
    assert {len(key) for key in keys} == {32}
