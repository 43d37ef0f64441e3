"""Fakes of the services in these contracts, so that a plugin's tests need no other plugin.

They live in memory and ignore transactions: a rollback does not undo changes of them. The suites of
the contracts run against the fake and the real service alike.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from galaxy_contracts.access import AdminIdentity, UserIdentity
from galaxy_contracts.accounts import Account, Registration
from galaxy_contracts.database import Connection
from galaxy_contracts.engines import (
    EngineDrivers,
    EngineVersion,
    UnknownVersionError,
    VersionUser,
    check_open,
    find_version,
)
from galaxy_contracts.fake_runtime import FakeRuntime as FakeRuntime  # noqa: PLC0414 # exported from here
from galaxy_contracts.formats import parse_address
from galaxy_contracts.geo import CountryCount
from galaxy_contracts.mail import MailKind, Message
from galaxy_contracts.notification import AdminChannelState, Intent, NotificationKind
from galaxy_contracts.push import PushEvent
from galaxy_contracts.turns import TurnPolicy

START = datetime(2030, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class FakeOutbox:
    """An `Outbox` that keeps mails in memory."""

    def __init__(self) -> None:
        self.kinds: dict[str, MailKind] = {}
        self.messages: list[Message] = []
        """The queued mails, the oldest first."""
        self._ids: dict[tuple[str, str], UUID] = {}

    def register(self, kind: MailKind) -> None:
        """Register a kind."""
        self.kinds[kind.name] = kind

    async def enqueue(self, connection: Connection, message: Message) -> UUID:  # noqa: ARG002 # of the contract
        """Keep a mail; the same key of a kind adds nothing."""
        return self._keep(message)

    async def enqueue_many(
        self,
        connection: Connection,  # noqa: ARG002 # of the contract
        messages: Sequence[Message],
    ) -> list[UUID | ValueError]:
        """Keep mails, and return the fault of each that cannot be kept in its place."""
        kept: list[UUID | ValueError] = []
        for message in messages:
            try:
                kept.append(self._keep(message))
            except ValueError as fault:
                kept.append(fault)
        return kept

    def _keep(self, message: Message) -> UUID:
        if message.kind not in self.kinds:
            raise ValueError(f"kind: {message.kind!r} is not registered")
        try:
            parse_address(message.recipient)
        except ValueError as fault:
            raise ValueError(f"recipient: {fault}") from None
        key = (message.kind, message.idempotency_key or str(uuid4()))
        if key not in self._ids:
            self._ids[key] = uuid4()
            self.messages.append(message)
        return self._ids[key]


class FakeAccounts:
    """`Accounts` in a dict."""

    def __init__(self) -> None:
        self.accounts: dict[UUID, Account] = {}

    def get(self, account_id: UUID) -> Account | None:
        """Return an account, deleted ones included."""
        return self.accounts.get(account_id)

    async def find(self, connection: Connection, email: str) -> Account | None:  # noqa: ARG002 # of the contract
        """Return the account of an address."""
        try:
            return self._of(parse_address(email).folded)
        except ValueError:
            return None

    async def lock(
        self,
        connection: Connection,  # noqa: ARG002 # of the contract
        account_ids: Collection[UUID],
    ) -> dict[UUID, Account]:
        """Return accounts; nothing is locked."""
        return {each: self.accounts[each] for each in account_ids if each in self.accounts}

    async def find_or_create(
        self,
        connection: Connection,  # noqa: ARG002 # of the contract
        registration: Registration,
    ) -> tuple[Account, bool]:
        """Return the account of an address, created if there is none."""
        address = parse_address(registration.email)
        found = self._of(address.folded)
        if found is not None:
            return found, False
        account = Account(
            id=uuid4(),
            email=address.typed,
            display_name="Player",
            language=registration.language,
            time_zone=registration.time_zone,
            declared_country=registration.declared_country,
            created_at=START,
        )
        self.accounts[account.id] = account
        return account, True

    def change(self, account_id: UUID, **fields: object) -> None:
        """Change an account as its owner plugin would, `blocked_at` for example."""
        self.accounts[account_id] = msgspec.structs.replace(self.accounts[account_id], **fields)

    def _of(self, folded: str) -> Account | None:
        living = (each for each in self.accounts.values() if each.email is not None)
        return next((each for each in living if parse_address(each.email or "").folded == folded), None)


class FakeUsers:
    """A `UserAuthenticator` for which an account's id is a token of it."""

    def __init__(self, accounts: Iterable[UUID] = ()) -> None:
        self.accounts = set(accounts)

    def authenticate(self, token: str, *, client_address: str) -> UserIdentity | None:  # noqa: ARG002 # of the contract
        """Return the identity of a known account; its session has the same id."""
        known = {str(account): account for account in self.accounts}
        return UserIdentity(known[token], known[token], FOREVER) if token in known else None


class FakeSessions:
    """`Sessions` that are only counted."""

    def __init__(self) -> None:
        self.sessions: Counter[UUID] = Counter()
        """How many sessions an account has."""

    async def revoke_all(self, connection: Connection, account_id: UUID) -> int:  # noqa: ARG002 # of the contract
        """End every session of an account."""
        return self.sessions.pop(account_id, 0)


class FakeAdmins:
    """An `AdminAuthenticator` with one operator."""

    username, password = "operator", "secret of the operator"
    identity = AdminIdentity(UUID(int=1), username)

    @classmethod
    def basic(cls) -> str:
        """Return the operator's `Authorization` header."""
        return "Basic " + b64encode(f"{cls.username}:{cls.password}".encode()).decode()

    async def authenticate(
        self,
        username: str,
        password: str,
        *,
        route: str,  # noqa: ARG002 # of the contract
        client_address: str,  # noqa: ARG002 # of the contract
    ) -> AdminIdentity | None:
        """Return the operator."""
        return self.identity if (username, password) == (self.username, self.password) else None


class FakePush:
    """A `Push` that keeps events in memory; a key that was published adds nothing."""

    def __init__(self) -> None:
        self.events: list[PushEvent] = []
        """The published events, the oldest first."""

    async def publish(self, connection: Connection, events: Sequence[PushEvent]) -> None:  # noqa: ARG002 # of the contract
        """Keep events."""
        for event in events:
            if (event.account_id is None) == (event.session_id is None):
                raise ValueError(f"event of kind {event.kind!r}: expected one target, account_id or session_id")
            try:
                msgspec.json.encode(event.payload)
            except TypeError as error:
                raise ValueError(f"event of kind {event.kind!r}: payload: {error}") from error
            if event.key is None or all(event.key != kept.key for kept in self.events):
                self.events.append(event)


class FakeNotifications:
    """`Notifications` that keep intents in memory; payloads are checked against their kind's model."""

    def __init__(self) -> None:
        self.kinds: dict[str, NotificationKind] = {}
        self.intents: list[Intent] = []
        """The submitted intents, the oldest first."""
        self._ids: dict[tuple[str, str], UUID] = {}

    def register(self, kind: NotificationKind) -> None:
        """Register a kind."""
        if kind.name in self.kinds:
            raise ValueError(f"kind {kind.name!r} is registered already")
        self.kinds[kind.name] = kind

    async def submit(self, connection: Connection, intent: Intent) -> UUID:  # noqa: ARG002 # of the contract
        """Keep an intent; the same key of a kind adds nothing."""
        if intent.kind not in self.kinds:
            raise ValueError(f"kind: {intent.kind!r} is not registered")
        self.kinds[intent.kind].payload.model_validate(intent.payload)
        key = (intent.kind, intent.idempotency_key)
        if key not in self._ids:
            self._ids[key] = uuid4()
            self.intents.append(intent)
        return self._ids[key]

    async def submit_many(self, connection: Connection, intents: Sequence[Intent]) -> list[UUID]:
        """Keep several."""
        return [await self.submit(connection, intent) for intent in intents]


class FakeAdminChannel:
    """An `AdminChannel` that keeps the mails."""

    def __init__(self) -> None:
        self.enabled = True
        self.messages: list[Message] = []

    async def state(self, connection: Connection) -> AdminChannelState:  # noqa: ARG002 # of the contract
        """Return whether it is on."""
        return AdminChannelState(self.enabled, None)

    async def switch(self, connection: Connection, *, enabled: bool) -> AdminChannelState:
        """Switch it."""
        self.enabled = enabled
        return await self.state(connection)

    async def deliver(
        self,
        connection: Connection,  # noqa: ARG002 # of the contract
        messages: Sequence[Message],
    ) -> list[UUID | ValueError] | None:
        """Keep mails while it is on."""
        if not self.enabled:
            return None
        self.messages += messages
        return [uuid4() for _ in messages]


class FakeCountries:
    """`Countries` in a dict, which counts at once."""

    def __init__(self, countries: Mapping[str, str] | None = None) -> None:
        self.countries = dict(countries or {})
        """Country by client address."""
        self.counted: Counter[tuple[UUID, str]] = Counter()
        """Requests by account and country."""

    def country_of(self, client_address: str) -> str | None:
        """Return the country that the test has set."""
        return self.countries.get(client_address)

    def count(self, account_id: UUID, client_address: str) -> None:
        """Count one request."""
        self.counted[account_id, self.country_of(client_address) or "ZZ"] += 1

    async def counts(self, connection: Connection, account_id: UUID) -> Sequence[CountryCount]:  # noqa: ARG002 # of the contract
        """Return an account's counters, the most frequent country first."""
        found = [CountryCount(key[1], count, START) for key, count in self.counted.items() if key[0] == account_id]
        return sorted(found, key=lambda each: (-each.requests, each.country))


class FakeTurnPolicies:
    """`TurnPolicies` in a dict, with none built in."""

    def __init__(self) -> None:
        self.policies: dict[str, TurnPolicy] = {}

    def register(self, policy: TurnPolicy) -> None:
        """Register a policy."""
        if policy.name in self.policies:
            raise ValueError(f"the turn policy {policy.name!r} is registered twice")
        self.policies[policy.name] = policy

    def find(self, name: str) -> TurnPolicy | None:
        """Return the policy of a name."""
        return self.policies.get(name)


class FakeEngineVersions:
    """`EngineVersions` in a dict."""

    def __init__(self) -> None:
        self.versions: dict[UUID, EngineVersion] = {}
        self.users: list[VersionUser] = []
        self.drivers: EngineDrivers | None = None

    def add(self, version: str, *, engine: str = "default", image: str = "engine:1", **fields: Any) -> EngineVersion:
        """Add a version, as an operator would."""
        major, minor, patch = (int(number) for number in version.partition("-")[0].split("."))
        made = EngineVersion(uuid4(), engine, version, major, minor, patch, image, **fields)
        self.versions[made.id] = made
        return made

    def change(self, version_id: UUID, **fields: object) -> None:
        """Change a version as its owner plugin would, `state` for example."""
        self.versions[version_id] = msgspec.structs.replace(self.versions[version_id], **fields)

    def get(self, version_id: UUID) -> EngineVersion | None:
        """Return a version."""
        return self.versions.get(version_id)

    def find(self, reference: str) -> EngineVersion | None:
        """Return what a reference means."""
        return find_version(self.versions.values(), reference)

    async def use(self, connection: Connection, version_id: UUID) -> EngineVersion:  # noqa: ARG002 # of the contract
        """Return a version that takes new games."""
        version = self._existing(version_id)
        check_open(version)
        return version

    async def record_start(
        self,
        connection: Connection,  # noqa: ARG002 # of the contract
        version_id: UUID,
        *,
        describe: Mapping[str, Any] | None,
        digest: str | None,
    ) -> EngineVersion:
        """Keep what was not known."""
        version = self._existing(version_id)
        known = version.describe or (None if describe is None else dict(describe))
        self.change(version_id, describe=known, digest=version.digest or digest)
        return self.versions[version_id]

    def register_user(self, user: VersionUser) -> None:
        """Keep a user."""
        self.users.append(user)

    def register_drivers(self, drivers: EngineDrivers) -> None:
        """Keep where engines run."""
        if self.drivers is not None:
            raise ValueError("drivers of engines are registered already")
        self.drivers = drivers

    def _existing(self, version_id: UUID) -> EngineVersion:
        version = self.versions.get(version_id)
        if version is None:
            raise UnknownVersionError(str(version_id))
        return version
