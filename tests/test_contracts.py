"""One suite for each contract, run against the real service, with every plugin, and against its fake."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from full_backend import ALL
from pydantic import Field

from galaxy_contracts.accounts import ACCOUNTS, Accounts, Registration
from galaxy_contracts.capability import Capability
from galaxy_contracts.engines import ENGINE_VERSIONS, EngineVersions, UnknownVersionError
from galaxy_contracts.geo import COUNTRIES, Countries
from galaxy_contracts.mail import OUTBOX, MailKind, Message
from galaxy_contracts.notification import (
    ADMIN_CHANNEL,
    NOTIFICATIONS,
    AdminChannel,
    Channel,
    Intent,
    NotificationKind,
    Notifications,
)
from galaxy_contracts.push import PUSH, Push, PushEvent
from galaxy_contracts.testing import (
    FakeAccounts,
    FakeAdminChannel,
    FakeCountries,
    FakeEngineVersions,
    FakeNotifications,
    FakeOutbox,
    FakePush,
)
from galaxy_devkit.testing import Booted
from galaxy_kernel.api import Connection, Model

FAKES: dict[Capability[Any], Callable[[], Any]] = {
    ACCOUNTS: FakeAccounts,
    ADMIN_CHANNEL: FakeAdminChannel,
    COUNTRIES: FakeCountries,
    ENGINE_VERSIONS: FakeEngineVersions,
    NOTIFICATIONS: FakeNotifications,
    OUTBOX: FakeOutbox,
    PUSH: FakePush,
}
Of = Callable[[Capability[Any]], Any]


class Note(Model):
    """The payload of the notifications in these tests."""

    text: str = Field(examples=["hello"])


KIND = NotificationKind(name="test.note", summary="A note.", payload=Note, channels=(Channel.PUSH,))


@pytest.fixture(params=["real", "fake"])
def of(request: pytest.FixtureRequest, full_backend: Booted) -> Of:
    """Return the implementation of a capability: the plugin's, or the fake."""
    made: dict[Capability[Any], Any] = {}

    def service(capability: Capability[Any]) -> Any:
        if request.param == "real":
            return full_backend.kernel.services.require(capability, asked_by="the test")
        if capability not in made:
            made[capability] = FAKES[capability]()
        return made[capability]

    return service


def test_every_service_for_plugins_has_a_fake() -> None:
    """A capability for plugins has a fake here; the others are called by the kernel only."""
    provided = {capability.name for plugin in ALL for capability in plugin.manifest.provides}
    of_the_kernel = {"admin.audit_log", "admin.authenticator", "auth.authenticator", "auth.sessions"}
    assert provided - of_the_kernel == {capability.name for capability in FAKES}


async def test_accounts(of: Of, full_backend: Booted) -> None:
    """One address in any spelling is one account, created at the first call; other text has none."""
    accounts: Accounts = of(ACCOUNTS)
    async with full_backend.database.transaction() as connection:
        first, made = await accounts.find_or_create(connection, Registration("Ada@Example.test", "de"))
        again, made_again = await accounts.find_or_create(connection, Registration("ada@example.test"))
        assert (made, made_again, again.id, first.email) == (True, False, first.id, "Ada@Example.test")
        found = await accounts.find(connection, "ADA@example.test")
        assert found is not None and found.id == first.id
        assert await accounts.find(connection, "nobody@example.test") is None
        assert await accounts.find(connection, "no address") is None
        with pytest.raises(ValueError, match="address"):
            await accounts.find_or_create(connection, Registration("no address"))
    known = accounts.get(first.id)
    assert known is not None and (known.language, known.active) == ("de", True)
    assert accounts.get(uuid4()) is None


async def test_outbox(of: Of, full_backend: Booted) -> None:
    """A kind and key are one mail; one that cannot be queued is reported in its place and affects no other."""
    outbox = of(OUTBOX)
    outbox.register(MailKind("test.new_device", "galaxy_auth"))

    def message(recipient: str = "ada@example.test", **changed: Any) -> Message:
        fields = {"kind": "test.new_device", "recipient": recipient, "language": "en", "parameters": {}}
        return Message(**{**fields, **changed})

    async with full_backend.database.transaction() as connection:
        first = await outbox.enqueue(connection, message(idempotency_key="one"))
        assert await outbox.enqueue(connection, message(idempotency_key="one")) == first
        assert await outbox.enqueue(connection, message()) != await outbox.enqueue(connection, message())
        for faulty in (message("no address"), message(kind="test.unknown")):
            with pytest.raises(ValueError, match="kind|address"):
                await outbox.enqueue(connection, faulty)
        many = [message(idempotency_key="one"), message("no address"), message(idempotency_key="two")]
        same, fault, other = await outbox.enqueue_many(connection, many)
        assert (same, type(fault), type(other)) == (first, ValueError, UUID)
        assert await outbox.enqueue_many(connection, []) == []


async def test_push(of: Of, full_backend: Booted) -> None:
    """An event has one target and a JSON payload; an empty set and a repeated key add nothing and are not errors."""
    push: Push = of(PUSH)
    key, account = uuid4(), uuid4()
    async with full_backend.database.transaction() as connection:
        await push.publish(connection, [])
        for _ in range(2):
            await push.publish(connection, [PushEvent(kind="test.one", payload={"n": 1}, account_id=account, key=key)])
        for faulty in (
            PushEvent(kind="test.none"),
            PushEvent(kind="test.both", account_id=account, session_id=uuid4()),
            PushEvent(kind="test.payload", payload={"n": object()}, account_id=account),
        ):
            with pytest.raises(ValueError, match=r"test\."):
                await push.publish(connection, [faulty])


async def test_notifications(of: Of, full_backend: Booted) -> None:
    """A kind and key are one intent; unknown kinds, faulty payloads and a kind registered twice are ValueErrors."""
    notifications: Notifications = of(NOTIFICATIONS)
    notifications.register(KIND)
    with pytest.raises(ValueError, match="registered already"):
        notifications.register(KIND)

    async def submit(connection: Connection, **changed: Any) -> UUID:
        fields = {"kind": KIND.name, "idempotency_key": "k", "payload": {"text": "hi"}, "recipients": [uuid4()]}
        return await notifications.submit(connection, Intent(**{**fields, **changed}))

    async with full_backend.database.transaction() as connection:
        first = await submit(connection)
        assert await submit(connection) == first
        assert await submit(connection, payload=Note(text="the model itself"), idempotency_key="other") != first
        for faulty in ({"kind": "test.unknown"}, {"payload": {}}, {"payload": {"text": "hi", "more": 1}}):
            with pytest.raises(ValueError, match=r"test\.|Note"):
                await submit(connection, idempotency_key="faulty", **faulty)


async def test_admin_channel(of: Of, full_backend: Booted) -> None:
    """It is on until it is switched off; then it queues nothing and returns None."""
    channel: AdminChannel = of(ADMIN_CHANNEL)
    kind = "runtime.image_pull_failed"
    mail = Message(kind, "operators@example.test", "en", {"image": "engine:1", "detail": "x", "game_id": uuid4()})

    async def switch(*, enabled: bool) -> bool:
        async with full_backend.database.transaction() as connection:
            return (await channel.switch(connection, enabled=enabled)).enabled

    async def deliver() -> list[UUID | ValueError] | None:
        async with full_backend.database.transaction() as connection:
            return await channel.deliver(connection, [mail])

    async with full_backend.database.reading() as connection:
        assert (await channel.state(connection)).enabled
    assert [type(outcome) for outcome in await deliver() or []] == [UUID]
    assert not await switch(enabled=False)
    assert await deliver() is None
    assert await switch(enabled=True)
    assert await deliver() is not None


async def test_countries(of: Of, full_backend: Booted) -> None:
    """Look-ups and counting never raise, whatever the address is; an account never seen has no counters."""
    countries: Countries = of(COUNTRIES)
    for address in ("203.0.113.7", "2001:db8::1", "", "no address", "\x00"):
        assert countries.country_of(address) is None
        countries.count(uuid4(), address)
    async with full_backend.database.reading() as connection:
        assert list(await countries.counts(connection, uuid4())) == []


async def test_engine_versions(of: Of, whole: Booted) -> None:
    """What is not there is not found, not used and not noted; drivers are registered once."""
    versions: EngineVersions = of(ENGINE_VERSIONS)
    unknown = uuid4()
    for reference in (str(unknown), "1.0.0", "default@1.0.0", "", "@", "no reference"):
        assert versions.find(reference) is None
    assert versions.get(unknown) is None
    async with whole.database.transaction() as connection:
        with pytest.raises(UnknownVersionError, match=str(unknown)):
            await versions.use(connection, unknown)
        with pytest.raises(UnknownVersionError, match=str(unknown)):
            await versions.record_start(connection, unknown, describe=None, digest=None)
    drivers: Any = object()
    versions.register_drivers(drivers)
    with pytest.raises(ValueError, match="registered already"):
        versions.register_drivers(drivers)
