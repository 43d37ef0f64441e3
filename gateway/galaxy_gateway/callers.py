"""Who calls: the player behind a request, once the gateway has checked the session."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """A player's session."""

    account_id: str
    session_id: str
    expires_at: datetime | None
    """When the session ends unless it is used; None: not known."""
