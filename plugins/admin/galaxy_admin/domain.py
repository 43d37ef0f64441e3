"""Admin accounts and the rules about them. No I/O."""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from galaxy_contracts.formats import parse_name
from galaxy_kernel.api import Backoff

FREE_TRIES = 4
"""Wrong passwords in a row before a name is locked for a network at all."""
LONGEST_LOCK = timedelta(minutes=15)
_LOCK = Backoff(1.0, LONGEST_LOCK.total_seconds(), jitter=0.0)
"""How long a name is locked for a network."""
LEEWAY = timedelta(seconds=5)
"""By how much times of two replicas may differ."""
FEW_KEPT, MANY_KEPT = timedelta(hours=1), timedelta(days=1)
"""How long attempts are counted since the last one: those that lock nothing yet, and the others."""
NETWORK_KNOWN = timedelta(days=60)
"""How long a network is known to an account that signed in from it."""

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


_USERNAME = re.compile(r"[^\s:\x00-\x1f\x7f]{1,64}")


def parse_username(text: str) -> str:
    """Check a user name: no colon, since HTTP Basic ends the name there, no space, and nothing that nobody sees."""
    name = parse_name(text)
    if _USERNAME.fullmatch(name) is None:
        raise ValueError("must have 1 to 64 characters, without spaces and colons, which HTTP Basic cannot carry")
    return name


def fold(username: str) -> str:
    """Return the form in which user names are compared (RFC 8265, UsernameCaseMapped, in essence)."""
    return unicodedata.normalize("NFKC", username).casefold().strip()


def lock_after(failures: int) -> timedelta | None:
    """Return how long a name is locked after so many wrong passwords in a row: 1 s, doubled up to 15 min."""
    beyond = failures - FREE_TRIES
    return timedelta(seconds=_LOCK.bound(beyond)) if beyond > 0 else None


def wait_of(failures: int, last_at: datetime, now: datetime) -> timedelta:
    """Return how much longer a lock lasts: no longer than its own length."""
    length = lock_after(failures) or timedelta(0)
    return max(timedelta(0), min(last_at, now) + length - now)
