"""Admin accounts and the rules about them. No I/O."""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from galaxy_kernel.api import Backoff

FREE_TRIES = 4
"""Wrong passwords in a row before the account is locked at all."""
_LOCK = Backoff(1.0, 900.0, jitter=0.0)
"""How long an account is locked."""

SHORTEST_PASSWORD = 12
"""Characters; NIST SP 800-63B asks for at least 8, and more where there is no second factor."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Characters that neither a user name nor a password may have (RFC 7617, 2): signing in would be impossible."""

Outcome = Literal["unknown", "done", "refused", "failed"]
"""How an action ended; `unknown` until then, and permanently when the process died in it."""


class AdminAccount(msgspec.Struct, frozen=True):
    """An operator's account, as every replica holds it in memory."""

    id: UUID
    username: str
    username_folded: str
    password_hash: str
    must_rotate: bool
    """Whether the password opens nothing but the route that changes it."""
    created_at: datetime
    password_changed_at: datetime | None = None
    disabled_at: datetime | None = None


def fold(username: str) -> str:
    """Return the form in which user names are compared (RFC 8265, UsernameCaseMapped, in essence)."""
    return unicodedata.normalize("NFKC", username).casefold().strip()


def lock_after(failures: int) -> timedelta | None:
    """Return how long an account is locked after so many wrong passwords in a row: 1 s, doubled up to 15 min."""
    beyond = failures - FREE_TRIES
    return timedelta(seconds=_LOCK.bound(beyond)) if beyond > 0 else None
