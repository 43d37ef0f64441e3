"""Accounts, sign-in and sessions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from galaxy_client.models.base import Model


class Account(Model, frozen=True, kw_only=True):
    """Your account."""

    id: UUID
    email: str | None = None
    display_name: str
    language: str
    """BCP 47 tag."""
    time_zone: str
    """Name in the IANA database."""
    declared_country: str | None = None
    """ISO 3166-1 alpha-2."""
    created_at: datetime


class Challenge(Model, frozen=True, kw_only=True):
    """A sign-in code that is on its way by mail, or that was entered wrong."""

    challenge_id: UUID
    expires_at: datetime
    """When the code expires."""
    email: str = ""
    attempt: int = 1
    """How often the code has been asked for, this time included."""


class SignedIn(Model, frozen=True, kw_only=True):
    """A new session."""

    session_token: str
    """Whoever has it acts for the account. It is not shown by `repr`."""
    session_id: UUID
    account: Account

    def __repr__(self) -> str:
        """Return everything but the token."""
        return f"SignedIn(session_id={self.session_id!r}, account={self.account!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return everything but the token."""
        return [("session_id", self.session_id), ("account", self.account)]


class Session(Model, frozen=True, kw_only=True):
    """One of your sessions: a sign-in on a device."""

    id: UUID
    device_name: str
    created_at: datetime
    last_seen_at: datetime
    """Exact to five minutes."""
    expires_at: datetime
    """When it ends even if it is used."""
    current: bool
    """Whether it is the session of this client."""


class Revoked(Model, frozen=True, kw_only=True):
    """The result of ending sessions."""

    revoked: int
