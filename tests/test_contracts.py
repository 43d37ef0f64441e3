"""One suite for each contract, run against the real service, with every plugin, and against its fake."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from full_backend import ALL
from pydantic import Field

from galaxy_chassis.clock import SystemClock
from galaxy_contracts.access import AdminIdentity
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
from galaxy_contracts.runtime import RUNTIME, Actor, ActorKind, Launch, Operation, SeatPlayer
from galaxy_contracts.schedules import Schedule
from galaxy_contracts.testing import (
    FakeAccounts,
    FakeAdminChannel,
    FakeCountries,
    FakeEngineVersions,
    FakeNotifications,
    FakeOutbox,
    FakePush,
    FakeRuntime,
    FakeTurnPolicies,
)
from galaxy_contracts.turns import TURN_POLICIES, Decision, Run, Situation
from galaxy_devkit.testing import Booted
from galaxy_kernel.api import Connection, Model, NoSettings, Problem

FAKES: dict[Capability[Any], Callable[[], Any]] = {
    ACCOUNTS: FakeAccounts,
    ADMIN_CHANNEL: FakeAdminChannel,
    COUNTRIES: FakeCountries,
    ENGINE_VERSIONS: FakeEngineVersions,
    NOTIFICATIONS: FakeNotifications,
    OUTBOX: FakeOutbox,
    PUSH: FakePush,
    RUNTIME: lambda: FakeRuntime(Problem, SystemClock().now),
    TURN_POLICIES: FakeTurnPolicies,
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


async def test_engine_versions(of: Of, full_backend: Booted) -> None:
    """What is not there is not found, not used and not noted; drivers are registered once."""
    versions: EngineVersions = of(ENGINE_VERSIONS)
    unknown = uuid4()
    for reference in (str(unknown), "1.0.0", "default@1.0.0", "", "@", "no reference"):
        assert versions.find(reference) is None
    assert versions.get(unknown) is None
    async with full_backend.database.transaction() as connection:
        with pytest.raises(UnknownVersionError, match=str(unknown)):
            await versions.use(connection, unknown)
        with pytest.raises(UnknownVersionError, match=str(unknown)):
            await versions.record_start(connection, unknown, describe=None, digest=None)
    drivers: Any = object()
    if isinstance(versions, FakeEngineVersions):  # the real ones are the runtime's
        versions.register_drivers(drivers)
    with pytest.raises(ValueError, match="registered already"):
        versions.register_drivers(drivers)


def a_launch(version_id: UUID) -> Launch:
    """Return a game to start."""
    return Launch(
        game_id=uuid4(),
        engine_version_id=version_id,
        seats=(SeatPlayer(seat=1, name="Ada"), SeatPlayer(seat=2, name="Bob")),
        options={},
        schedule=Schedule(interval=timedelta(days=1)),
    )


async def a_version(of: Of) -> UUID:
    """Add an engine version as an operator would, and return its id."""
    versions = of(ENGINE_VERSIONS)
    if isinstance(versions, FakeEngineVersions):
        return versions.add("1.0.0").id
    values = {"engine": "default", "version": "1.0.0", "image": "galaxy/game:1", "notes": "", "state": "active"}
    made: UUID = (await versions.create(AdminIdentity(uuid4(), "operator"), values)).id
    return made


async def test_runtime_refuses_schedules_and_policies(of: Of) -> None:
    """What cannot be kept is refused by its field; what can is passed."""
    runtime = of(RUNTIME)
    short = timedelta(seconds=10)
    runtime.check_schedule(Schedule(interval=timedelta(hours=1)), short)
    runtime.check_schedule(Schedule(cron="0 18 * * *", time_zone="Europe/Vienna"), short)
    runtime.check_policy("fixed", {})
    for schedule in (Schedule(), Schedule(interval=timedelta(seconds=1)), Schedule(cron="0 18", time_zone="UTC")):
        with pytest.raises(Problem) as refused:
            runtime.check_schedule(schedule, short)
        assert (refused.value.status, refused.value.faults[0].field.partition(".")[0]) == (422, "schedule")
    for name, options, field in (("nobody", {}, "policy"), ("fixed", {"x": 1}, "policy_options")):
        with pytest.raises(Problem) as refused:
            runtime.check_policy(name, options)
        assert (refused.value.status, refused.value.faults[0].field.partition(".")[0]) == (422, field)


async def test_runtime_launches_once_and_ends(of: Of, full_backend: Booted) -> None:
    """A game that is being started is not started again; once ended it is unknown, and ending is repeatable."""
    runtime, versions = of(RUNTIME), of(ENGINE_VERSIONS)
    launch = a_launch(await a_version(of))
    assert versions.get(launch.engine_version_id) is not None
    async with full_backend.database.transaction() as connection:
        assert isinstance(await runtime.launch(connection, launch), UUID)
    with pytest.raises(Problem) as refused:
        async with full_backend.database.transaction() as connection:
            await runtime.launch(connection, launch)
    assert (refused.value.status, refused.value.code) == (409, "operation_in_progress")
    assert runtime.status(launch.game_id) is None
    for _ in range(2):
        async with full_backend.database.transaction() as connection:
            await runtime.lock(connection, [launch.game_id])
            await runtime.end(connection, launch.game_id)


async def test_runtime_knows_no_game_that_was_not_launched(of: Of, full_backend: Booted) -> None:
    """An unknown game is 404 for those who change it, and passed over by those who end or lock it."""
    runtime, game, actor = of(RUNTIME), uuid4(), Actor(ActorKind.OPERATOR)
    async with full_backend.database.transaction() as connection:
        await runtime.lock(connection, [game])
        await runtime.end(connection, game)
        for change in (
            runtime.suspend(connection, game),
            runtime.resume(connection, game),
            runtime.vacate(connection, game, 1),
            runtime.operate(connection, game, Operation.RESTART, actor),
        ):
            with pytest.raises(Problem) as refused:
                await change
            assert refused.value.status == 404
    assert runtime.status(game) is None


class Patient:
    """A turn policy for tests."""

    name = "patient"
    options = NoSettings

    def decide(self, situation: Situation) -> Decision:  # of the contract
        return Run(())


async def test_turn_policies_have_one_of_each_name(of: Of) -> None:
    """A registered policy is found by its name; a second of that name is refused."""
    policies = of(TURN_POLICIES)
    policies.register(Patient())
    assert policies.find("patient").name == "patient"
    assert policies.find("impatient") is None
    with pytest.raises(ValueError, match="patient"):
        policies.register(Patient())
