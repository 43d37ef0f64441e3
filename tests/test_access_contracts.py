"""One suite for each contract of who calls, run against the real service and against each of its fakes.

`test_contracts` has those that plugins call; these are called by the kernel, or end what it established.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from galaxy_admin.plugin import AdminPlugin
from galaxy_auth.plugin import AuthPlugin
from galaxy_contracts.access import (
    ADMIN_AUTHENTICATOR,
    AUDIT_LOG,
    USER_AUTHENTICATOR,
    AdminAuthenticator,
    AdminIdentity,
    AuditLog,
    UserAuthenticator,
)
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.sessions import SESSIONS, Sessions
from galaxy_contracts.testing import FakeAccounts, FakeAdmins, FakeOutbox, FakeSessions, FakeUsers
from galaxy_devkit.testing import Boot, Booted, offering
from galaxy_devkit.testing.http import OPERATOR, PLAYER, FakeAdminAuthenticator, FakeAuditLog, FakeUserAuthenticator
from galaxy_kernel.api import Connection

PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.1"


def test_every_capability_of_these_plugins_has_a_suite_here() -> None:
    """Whoever adds one adds what it must do."""
    provided = {capability for plugin in (AdminPlugin, AuthPlugin) for capability in plugin.manifest.provides}
    assert provided == {ADMIN_AUTHENTICATOR, AUDIT_LOG, SESSIONS, USER_AUTHENTICATOR}


class QuickAdmin(AdminPlugin):
    """The plugin with a hash that takes no time."""

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@asynccontextmanager
async def admin(boot: Boot) -> AsyncIterator[Booted]:
    """Boot the admin plugin with one operator, whose password must be changed first."""
    environment = {"BACKEND_ADMIN_BOOTSTRAP_USER": "Olga", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": PASSWORD}
    async with boot(QuickAdmin, environment=environment) as booted:
        yield booted


@dataclass(frozen=True)
class SignIn:
    """The auth plugin with fakes of what it requires, and what signs a player in there."""

    booted: Booted
    outbox: FakeOutbox

    async def __call__(self, email: str) -> str:
        """Sign in, and return the session's token."""
        path = "/api/v1/public/auth"
        async with self.booted.client.post(f"{path}/send-email-code", json={"email": email}) as response:
            challenge = (await response.json())["challenge_id"]
        (message,) = [mail for mail in self.outbox.messages if mail.idempotency_key == challenge]
        body = {"challenge_id": challenge, "code": message.parameters["code"]}
        async with self.booted.client.post(f"{path}/confirm-email-code", json=body) as response:
            return str((await response.json())["session_token"])


@asynccontextmanager
async def auth(boot: Boot) -> AsyncIterator[SignIn]:
    outbox = FakeOutbox()
    async with boot(AuthPlugin, offering("mail", {OUTBOX: outbox}), offering("user", {ACCOUNTS: FakeAccounts()})) as it:
        yield SignIn(it, outbox)


@pytest.fixture(params=["real", "FakeUsers", "FakeUserAuthenticator"])
async def players(request: pytest.FixtureRequest, boot: Boot) -> AsyncIterator[tuple[UserAuthenticator, str]]:
    """Return an authenticator, and the token of somebody whom it knows."""
    if request.param == "FakeUsers":
        account = uuid4()
        yield FakeUsers([account]), str(account)
    elif request.param == "FakeUserAuthenticator":
        yield FakeUserAuthenticator(), "good-session"
    else:
        async with auth(boot) as sign_in:
            token = await sign_in("ada@example.test")
            yield sign_in.booted.kernel.services.require(USER_AUTHENTICATOR, asked_by="the test"), token


async def test_user_authenticator(players: tuple[UserAuthenticator, str]) -> None:
    """A token is one session of one account, until it expires; any other text is nobody's, and is not an error."""
    authenticator, token = players
    identity = authenticator.authenticate(token, client_address=ADDRESS)
    assert identity is not None
    assert identity == authenticator.authenticate(token, client_address="2001:db8::1")
    assert (type(identity.account_id), type(identity.session_id)) == (UUID, UUID)
    assert identity.expires_at > datetime.now(UTC)
    for other in ("", " ", token[:-1], token + "x", token.swapcase() + "é", "\0", "x" * 10_000, "🔑"):
        assert authenticator.authenticate(other, client_address=ADDRESS) is None, other


@dataclass(frozen=True)
class Operators:
    """An authenticator, and the name and password of somebody whom it knows."""

    authenticator: AdminAuthenticator
    username: str
    password: str


@pytest.fixture(params=["real", "FakeAdmins", "FakeAdminAuthenticator"])
async def operators(request: pytest.FixtureRequest, boot: Boot) -> AsyncIterator[Operators]:
    if request.param == "FakeAdmins":
        yield Operators(FakeAdmins(), FakeAdmins.username, FakeAdmins.password)
    elif request.param == "FakeAdminAuthenticator":
        yield Operators(FakeAdminAuthenticator(), "olga", "pässword: with a colon")
    else:
        async with admin(boot) as booted:
            real = booted.kernel.services.require(ADMIN_AUTHENTICATOR, asked_by="the test")
            yield Operators(real, "Olga", PASSWORD)


async def test_admin_authenticator(operators: Operators) -> None:
    """The right password of a name is its operator, always the same one; everything else is nobody."""
    # the route is the one that an operator with a fresh password may use
    call = {"route": "admin.change_own_password", "client_address": "192.0.2.1"}
    authenticate, name, password = operators.authenticator.authenticate, operators.username, operators.password
    identity = await authenticate(name, password, **call)
    assert identity is not None
    assert (type(identity.admin_id), identity.username) == (UUID, name)
    assert await authenticate(name, password, **call) == identity
    for other, given in ((name, ""), (name, password + " "), ("nobody", password), ("", ""), ("nobody", "\0")):
        assert await authenticate(other, given, **call) is None, (other, given)
    assert await authenticate(name, password, **call) == identity


Entries = Callable[[], Awaitable[list[tuple[Any, ...]]]]
"""Read what is in a log: user name, action, request id, target, outcome and status of each entry, the oldest first."""


@pytest.fixture(params=["real", "FakeAuditLog"])
async def audit(request: pytest.FixtureRequest, boot: Boot) -> AsyncIterator[tuple[AuditLog, Entries, AdminIdentity]]:
    """Return a log, what reads it, and an operator."""
    if request.param == "FakeAuditLog":
        log = FakeAuditLog()

        async def lines() -> list[tuple[Any, ...]]:
            return list(_entries(log.lines))

        yield log, lines, OPERATOR
        return
    async with admin(boot) as booted:
        query = (
            "SELECT username, action, request_id, target::text, outcome, status FROM admin_audit_log ORDER BY at, id"
        )

        async def rows() -> list[tuple[Any, ...]]:
            async with booted.database.reading() as connection:
                found = (await connection.execute(sa.text(query))).all()
            return [(*row[:3], json.loads(row[3]), *row[4:]) for row in found]

        real = booted.kernel.services.require(AUDIT_LOG, asked_by="the test")
        yield real, rows, AdminIdentity(uuid4(), "olga")


def _entries(lines: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Put the two lines of each action of a FakeAuditLog together; actions do not overlap here."""
    entries: list[tuple[Any, ...]] = []
    for line in lines:
        if line[0] == "begin":
            entries.append((line[1], line[2], line[4], line[3], "unknown", None))
        else:
            username, action, request_id, target, *_ = entries[-1]
            more = dict(zip(_ADDED, line[3:], strict=False))
            entries[-1] = (username, action, request_id, target | more, line[1], line[2])
    return entries


_ADDED = ("name",)
"""What the actions of these tests learn of their targets."""


@pytest.mark.parametrize(
    ("outcome", "status", "learnt"),
    [("done", 201, {"name": "n"}), ("refused", 409, {}), ("failed", 500, {}), ("unknown", 499, {})],
)
async def test_audit_log(
    audit: tuple[AuditLog, Entries, AdminIdentity], outcome: str, status: int, learnt: dict[str, str]
) -> None:
    """An attempt is there before its outcome, which is added to it together with what the action has learnt."""
    log, entries, actor = audit
    entry = await log.begin(actor, "demo.make", {"thing_id": "7"}, request_id="request-1")
    assert type(entry) is UUID
    assert await entries() == [("olga", "demo.make", "request-1", {"thing_id": "7"}, "unknown", None)]
    await log.finish(entry, outcome, status, learnt)
    assert await entries() == [("olga", "demo.make", "request-1", {"thing_id": "7"} | learnt, outcome, status)]
    other = await log.begin(actor, "demo.make", {}, request_id="request-1")
    assert other != entry
    assert [found[4] for found in await entries()] == [outcome, "unknown"]


@dataclass(frozen=True)
class Signed:
    """Sessions to end, those of two players, and a connection's maker."""

    sessions: Sessions
    ada: UUID
    bob: UUID
    works: Callable[[UUID], int]
    """How many of the player's sessions still work."""
    booted: Booted


@pytest.fixture(params=["real", "FakeSessions"])
async def signed(request: pytest.FixtureRequest, boot: Boot) -> AsyncIterator[Signed]:
    """Return sessions with two of Ada's and one of Bob's."""
    async with auth(boot) as sign_in:
        if request.param == "FakeSessions":
            fake, ada, bob = FakeSessions(), uuid4(), uuid4()
            fake.sessions.update({ada: 2, bob: 1})
            yield Signed(fake, ada, bob, lambda account: fake.sessions[account], sign_in.booted)
            return
        services = sign_in.booted.kernel.services
        authenticator = services.require(USER_AUTHENTICATOR, asked_by="the test")
        tokens = [await sign_in(f"{name}@example.test") for name in ("ada", "bob")]
        first, second = (authenticator.authenticate(token, client_address=ADDRESS) for token in tokens)
        assert first is not None
        assert second is not None
        async with sign_in.booted.database.transaction() as connection:
            real: Any = services.require(SESSIONS, asked_by="the test")
            _, more = await real.start(connection, first.account_id, "another device")
        tokens.append(more)

        def works(account: UUID) -> int:
            known = [authenticator.authenticate(token, client_address=ADDRESS) for token in tokens]
            return sum(identity is not None and identity.account_id == account for identity in known)

        yield Signed(real, first.account_id, second.account_id, works, sign_in.booted)


async def test_sessions(signed: Signed) -> None:
    """All sessions of one account end, and nobody else's; an account without one, known or not, has none to end."""

    async def revoke_all(account: UUID) -> int:
        connection: Connection
        async with signed.booted.database.transaction() as connection:
            return await signed.sessions.revoke_all(connection, account)

    assert (signed.works(signed.ada), signed.works(signed.bob)) == (2, 1)
    assert await revoke_all(uuid4()) == 0
    assert await revoke_all(signed.ada) == 2
    assert (signed.works(signed.ada), signed.works(signed.bob)) == (0, 1)
    assert await revoke_all(signed.ada) == 0
    assert await revoke_all(signed.bob) == 1


def test_the_fakes_of_the_devkit_know_whom_they_say() -> None:
    """PLAYER and OPERATOR are what tests of routes compare with."""
    assert FakeUserAuthenticator().authenticate("good-session", client_address=ADDRESS) == PLAYER
    assert OPERATOR.username == "olga"
