"""Device sessions: what the auth plugin offers to others."""

from typing import ClassVar, Protocol
from uuid import UUID

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection
from galaxy_contracts.fact import Fact


class Sessions(Protocol):
    """Ending sessions on behalf of another plugin."""

    async def revoke_all(self, connection: Connection, account_id: UUID) -> int:
        """End every session of the account with the caller's transaction; return how many there were."""


class SessionStarted(Fact, frozen=True):
    """A player signed in on a device."""

    fact: ClassVar[str] = "auth.session_started"
    account_id: UUID
    session_id: UUID
    device_name: str
    first: bool
    """Whether it is the account's first session ever."""


class SessionsRevoked(Fact, frozen=True):
    """Sessions of one account ended before their time."""

    fact: ClassVar[str] = "auth.sessions_revoked"
    account_id: UUID
    session_ids: tuple[UUID, ...]


SESSIONS: Capability[Sessions] = Capability("auth.sessions")
