"""The switch holds on every replica from its commit on, for every delivery."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from galaxy_adminchannel.plugin import AdminChannelPlugin
from galaxy_chassis.clock import ManualClock
from galaxy_contracts.mail import OUTBOX, MailKind, Message
from galaxy_contracts.notification import ADMIN_CHANNEL, AdminChannel
from galaxy_contracts.testing import FakeOutbox
from galaxy_devkit.testing import Boot
from galaxy_devkit.testing.kernel import Booted, offering

MAIL = Message("runtime.trouble", "operators@example.test", "en", {})


def channel_of(booted: Booted) -> AdminChannel:
    return booted.kernel.services.require(ADMIN_CHANNEL, asked_by="the test")


@pytest.fixture
def outbox() -> FakeOutbox:
    outbox = FakeOutbox()
    outbox.register(MailKind("runtime.trouble", "galaxy_runtime"))
    return outbox


@pytest.fixture
async def replicas(boot: Boot, clock: ManualClock, outbox: FakeOutbox) -> AsyncIterator[tuple[Booted, Booted]]:
    """Return two replicas on one database."""
    fakes = offering("fakes", {OUTBOX: outbox})
    async with (
        boot(AdminChannelPlugin, fakes, clock=clock) as one,
        boot(AdminChannelPlugin, fakes, clock=clock, dsn=one.dsn) as other,
    ):
        yield one, other


async def deliver(booted: Booted, *messages: Message) -> list[UUID | ValueError] | None:
    async with booted.database.transaction() as connection:
        return await channel_of(booted).deliver(connection, messages or (MAIL,))


async def switch(booted: Booted, *, enabled: bool) -> Any:
    async with booted.database.transaction() as connection:
        return await channel_of(booted).switch(connection, enabled=enabled)


async def test_it_is_on_until_somebody_switches_it(replicas: tuple[Booted, Booted], outbox: FakeOutbox) -> None:
    """A fresh deployment delivers to its operators."""
    assert await deliver(replicas[0])
    assert outbox.messages == [MAIL]
    async with replicas[1].database.reading() as connection:
        state = await channel_of(replicas[1]).state(connection)
    assert (state.enabled, state.changed_at) == (True, None)


async def test_off_is_off_on_every_replica(
    replicas: tuple[Booted, Booted], outbox: FakeOutbox, clock: ManualClock
) -> None:
    """Switched off on one, nothing goes out on the other; switched on again, mails go out again."""
    one, other = replicas
    state = await switch(one, enabled=False)
    assert (state.enabled, state.changed_at) == (False, clock.now())
    assert await deliver(other) is None
    assert outbox.messages == []
    await switch(other, enabled=True)
    assert await deliver(one)


async def test_switching_to_what_it_is_changes_nothing(replicas: tuple[Booted, Booted]) -> None:
    """The time of the last change stays."""
    assert (await switch(replicas[0], enabled=True)).changed_at is None


async def test_the_switch_waits_for_a_delivery_under_way(replicas: tuple[Booted, Booted]) -> None:
    """After switching off, no mail is queued any more."""
    one, other = replicas
    async with one.database.transaction() as connection:
        assert await channel_of(one).deliver(connection, [MAIL])
        switching = asyncio.create_task(switch(other, enabled=False))
        await asyncio.sleep(0.05)
        assert not switching.done()
    assert not (await switching).enabled


async def test_two_deliveries_do_not_wait_for_each_other(replicas: tuple[Booted, Booted]) -> None:
    """Replicas deliver at the same time."""
    one, other = replicas
    async with one.database.transaction() as connection:
        await channel_of(one).deliver(connection, [MAIL])
        async with asyncio.timeout(5):
            assert await deliver(other)


async def test_a_faulty_mail_is_told(replicas: tuple[Booted, Booted], outbox: FakeOutbox) -> None:
    """The outbox's error for a mail reaches the caller in its place, and the others are queued."""
    faulty = Message("runtime.unknown", "operators@example.test", "en", {})
    outcomes = await deliver(replicas[0], faulty, MAIL)
    assert outcomes is not None
    assert "not registered" in str(outcomes[0])
    assert isinstance(outcomes[1], UUID)
    assert outbox.messages == [MAIL]
