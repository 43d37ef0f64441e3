"""Notifications: the inbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from galaxy_client.models.base import Model


class NotificationRoute(Model, frozen=True, kw_only=True):
    """One channel by which a notification goes to you."""

    id: UUID
    channel: str
    state: str
    """`pending`, `retrying`, `sent`, `skipped`, `dead_lettered`."""
    reason: str | None = None
    attempts: int = 0


class Notification(Model, frozen=True, kw_only=True):
    """A notification to you."""

    id: UUID
    kind: str
    created_at: datetime
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    read_at: datetime | None = None
    routes: list[NotificationRoute] = msgspec.field(default_factory=list)


class ReadCount(Model, frozen=True, kw_only=True):
    """The result of marking as read."""

    read: int
    """How many were unread before."""
