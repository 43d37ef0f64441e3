"""Notifications: what the notification plugin offers to others, and what it requires of the admin channel."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import msgspec
from pydantic import BaseModel

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection
from galaxy_contracts.mail import Message


class Audience(StrEnum):
    """The recipients of a kind."""

    ACCOUNT = "account"
    """The players that each intent names."""
    OPERATORS = "operators"
    """The operators of the deployment: by the admin channel, where it is installed and on."""


class Channel(StrEnum):
    """A way to a recipient."""

    EMAIL = "email"
    PUSH = "push"


class NotificationKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of notification, registered by the plugin that sends it."""

    name: str
    """`<plugin>.<what_happened>`, for example `auth.new_device`; the kind of the mail and of the push event too."""
    summary: str
    """One line for operators, and for players who choose their notifications."""
    audience: Audience = Audience.ACCOUNT
    channels: tuple[Channel, ...] = (Channel.EMAIL, Channel.PUSH)
    payload: type[BaseModel]
    """The model of an intent's payload: checked at submit, filled into the templates, pushed as JSON."""
    package: str = ""
    """Import name of the package with the mail's templates, as in `MailKind`; needed for the channel e-mail."""
    mandatory: bool = False
    """Whether players cannot switch it off."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The request to notify recipients of something, once."""

    kind: str
    idempotency_key: str
    """A second intent of this kind and key adds nothing, for as long as the first is kept."""
    payload: BaseModel | Mapping[str, Any]
    """A mapping is checked against the kind's payload model."""
    recipients: Sequence[UUID] = ()
    """Accounts; none for a kind for operators."""


class Notifications(Protocol):
    """Notifies players and operators."""

    def register(self, kind: NotificationKind) -> None:
        """Register a kind, in the owner's lifespan. A faulty kind, or a name used twice, refuses the boot."""

    async def submit(self, connection: Connection, intent: Intent) -> UUID:
        """Store an intent and its routes (each recipient by each channel) in the caller's transaction; return its id.

        One statement. Raise `ValueError` with every fault of the intent, by field, before anything is written.
        """

    async def submit_many(self, connection: Connection, intents: Sequence[Intent]) -> list[UUID]:
        """Store several intents as `submit` does each, in one statement; return their ids in the same order.

        Raise `ValueError` with the faults of the first intent that has any, before anything is written.
        """


class AdminChannelState(msgspec.Struct, frozen=True):
    """Whether the admin channel is on, and since when."""

    enabled: bool
    changed_at: datetime | None
    """None as long as it was never switched."""


class AdminChannel(Protocol):
    """The way to operators, which they can switch off while everything runs."""

    async def state(self, connection: Connection) -> AdminChannelState:
        """Return whether it is on."""

    async def switch(self, connection: Connection, *, enabled: bool) -> AdminChannelState:
        """Switch it on or off with the caller's transaction: from the commit on, on every replica."""

    async def deliver(self, connection: Connection, messages: Sequence[Message]) -> list[UUID | ValueError] | None:
        """Queue mails to operators with the caller's transaction, as `Outbox.enqueue_many` does; None when it is off.

        Switching it off waits until this transaction ends: after that no mail is queued any more.
        """


NOTIFICATIONS: Capability[Notifications] = Capability("notification.notifications")
ADMIN_CHANNEL: Capability[AdminChannel] = Capability("adminchannel.channel")
