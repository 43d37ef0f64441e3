"""Stored intents, and the reasons for not delivering a route. No I/O."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from galaxy_contracts.accounts import Account
from galaxy_contracts.notification import Channel

State = Literal["pending", "retrying", "sent", "skipped", "dead_lettered"]


class Reason(StrEnum):
    """Why a route is `skipped`."""

    PREFERENCE = "preference"
    """The player has switched this kind and channel off."""
    ACCOUNT_DELETED = "account_deleted"
    ACCOUNT_BLOCKED = "account_blocked"
    PUSH_NOT_INSTALLED = "push_not_installed"
    ADMIN_CHANNEL_NOT_INSTALLED = "admin_channel_not_installed"
    ADMIN_CHANNEL_OFF = "admin_channel_off"
    ADMIN_EMAIL_NOT_SET = "admin_email_not_set"


class Destination(msgspec.Struct, frozen=True):
    """A route to create."""

    id: UUID
    account_id: UUID | None
    """None: operators."""
    channel: Channel


class ValidatedIntent(msgspec.Struct, frozen=True):
    """An intent that passed every check, as it is stored."""

    id: UUID
    kind: str
    key: str
    payload: msgspec.Raw
    """JSON."""
    routes: Sequence[Destination]


def refusal_of(account: Account) -> Reason | None:
    """Return why an account is not notified; None: it is."""
    if account.deleted_at is not None or account.email is None:
        return Reason.ACCOUNT_DELETED
    return Reason.ACCOUNT_BLOCKED if account.blocked_at is not None else None
