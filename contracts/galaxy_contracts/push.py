"""Live events for the clients behind gateways: what the push plugin offers to others."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection


class PushEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one account, or for one session of it. Exactly one of the two targets is given."""

    kind: str
    """`<subject>.<what_happened>`, for example `session.revoked`."""
    payload: Mapping[str, Any] = {}
    """The data for clients, as JSON."""
    account_id: UUID | None = None
    """Target: every session of this account."""
    session_id: UUID | None = None
    """Target: this session alone."""
    key: UUID | None = None
    """Publishing a key that was published before adds nothing, for as long as its event is kept."""
    request_id: str | None = None
    """The id of the request that caused it; None: the current one."""


class Push(Protocol):
    """The stream of events that every gateway receives."""

    async def publish(self, connection: Connection, events: Sequence[PushEvent]) -> None:
        """Add events with the caller's transaction, in one statement; they are delivered, in order, after the commit.

        Raise `ValueError` for an event without a target or with two, or a payload that is not JSON.
        """


PUSH: Capability[Push] = Capability("push.events")
