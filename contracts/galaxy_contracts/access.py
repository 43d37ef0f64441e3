"""Authentication: the identities, and the two services that establish them for the kernel's HTTP layer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability


class UserIdentity(msgspec.Struct, frozen=True):
    """A signed-in player, as established from a session token."""

    account_id: UUID
    session_id: UUID
    expires_at: datetime
    """When the session ends even if it is used: its absolute expiry, UTC."""


class AdminIdentity(msgspec.Struct, frozen=True):
    """An authenticated operator."""

    admin_id: UUID
    username: str


class UserAuthenticator(Protocol):
    """Establishes players. Answers from memory: it is called on every request of access `user`."""

    def authenticate(self, token: str, *, client_address: str) -> UserIdentity | None:
        """Return the identity behind a bearer token, or None when the token is not, or no longer, valid."""


class AdminAuthenticator(Protocol):
    """Establishes operators from HTTP Basic credentials."""

    async def authenticate(
        self, username: str, password: str, *, route: str, client_address: str
    ) -> AdminIdentity | None:
        """Return the operator, or None when the credentials are wrong.

        Wrong ones are counted by user name and by the network of `client_address`.

        `route` is the name of the requested route: an account whose password must be changed may only use the route
        that changes it. Raise the kernel's `Problem` for that, and while the account is locked.
        """


class AuditLog(Protocol):
    """The audit log of operators. The kernel writes it for every unsafe request of access `admin`, and for reads of
    personal data.
    """

    async def begin(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> UUID:
        """Record, committed before the action runs, that `actor` attempts `action` (a route name) on `target`.

        A process that dies in the action leaves the row with the outcome `unknown`.
        """

    async def read(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> None:
        """Record, before it happens, that `actor` reads personal data. Reads of a minute may be counted in one row."""

    async def finish(self, entry: UUID, outcome: str, status: int, target: Mapping[str, str]) -> None:
        """Record how it ended: `done`, `refused` (4xx) or `failed` (5xx), with the HTTP status.

        `target` is what the action has learnt of its target since, for example the name of a new object: it is added to
        that of `begin`. `unknown` is for a cancelled request, whose action may have happened.
        """


USER_AUTHENTICATOR: Capability[UserAuthenticator] = Capability("auth.authenticator")
ADMIN_AUTHENTICATOR: Capability[AdminAuthenticator] = Capability("admin.authenticator")
AUDIT_LOG: Capability[AuditLog] = Capability("admin.audit_log")
