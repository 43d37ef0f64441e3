"""Events, cursors and their rules. No I/O."""

import re
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import msgspec

from galaxy_contracts.push import PushEvent

MAX_PAYLOAD = 64 * 1024
"""Bytes of a payload's JSON: an event signals a change, and clients fetch large data from the API."""
MAX_REPLAYED = 500
"""Events in one answer to a replay."""
MAX_CURSOR = 2**63 - 1
"""The largest number that the database has."""

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_CURSOR = re.compile(r"(?:([0-9a-f]{12})-)?(0|[1-9][0-9]{0,18})")
_GATEWAY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

SESSION_REVOKED = "session.revoked"
"""The kind that ends a session's streams; its target is the session (SPEC P-3)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked event, as it is written."""

    key: UUID | None
    account_id: UUID | None
    session_id: UUID | None
    kind: str
    payload: str
    request_id: str


class StoredEvent(msgspec.Struct, frozen=True):
    """A numbered event of the stream."""

    seq: int
    account_id: UUID | None
    session_id: UUID | None
    kind: str
    payload: str
    request_id: str


class Cursor(NamedTuple):
    """A position in the stream: after the event of this number, in this generation of the numbering."""

    generation: str
    """Empty for a cursor of the time before generations, a plain number: it belongs to no stream that exists."""
    number: int

    def __str__(self) -> str:
        return f"{self.generation}-{self.number}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the stream reaches."""

    generation: str
    """The present generation of the numbering: numbers of another one say nothing about this stream."""
    last_seq: int
    """The highest number assigned."""
    trimmed_seq: int
    """Events up to this one may be gone."""

    @property
    def end(self) -> Cursor:
        """The cursor after the last event."""
        return Cursor(self.generation, self.last_seq)

    def has_assigned(self, cursor: Cursor) -> bool:
        """Return whether a cursor is one of this stream."""
        return cursor.generation == self.generation and cursor.number <= self.last_seq

    def has_all_after(self, cursor: Cursor) -> bool:
        """Return whether every event after this cursor is present, or still to come."""
        return self.has_assigned(cursor) and self.trimmed_seq <= cursor.number

    def was_set_back(self, seen: Cursor) -> bool:
        """Return whether a cursor that this stream once assigned is now ahead of its end: the database was set back."""
        return seen.generation == self.generation and seen.number > self.last_seq


@dataclass(frozen=True, slots=True)
class Range:
    """The events for one session that a gateway asks for: those for its account, and those for itself."""

    account_id: UUID
    session_id: UUID
    after: Cursor
    up_to: Cursor | None
    """None: the end of the stream."""
    limit: int

    def is_known_to(self, standing: Standing) -> bool:
        """Return whether every event in the range is present."""
        return standing.has_all_after(self.after) and (self.up_to is None or standing.has_assigned(self.up_to))


def draft(event: PushEvent, request_id: str) -> Draft:
    """Check an event; `request_id` is the current one. Raise ValueError with the fault."""
    if (event.account_id is None) == (event.session_id is None):
        raise ValueError(f"push event {event.kind!r}: set one target, account_id or session_id")
    if _KIND.fullmatch(event.kind) is None:
        raise ValueError(f"push event {event.kind!r}: a kind is called <subject>.<what_happened>, in lower case")
    try:
        payload = msgspec.json.encode(event.payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"push event {event.kind!r}: its payload is not JSON: {error}") from None
    if not payload.startswith(b"{"):
        raise ValueError(f"push event {event.kind!r}: its payload must be a JSON object")
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(
            f"push event {event.kind!r}: its payload has {len(payload):,} bytes of at most {MAX_PAYLOAD:,}: "
            "tell clients where to fetch the rest"
        )
    given = event.request_id or request_id
    return Draft(event.key, event.account_id, event.session_id, event.kind, payload.decode(), given)


def parse_cursor(text: str, *, field: str) -> Cursor | None:
    """Return the cursor that a field of a request has, None where it is empty. Raise ValueError, naming the field."""
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None or int(match[2]) > MAX_CURSOR:
        raise ValueError(f"{field}: must be a cursor that came with an event or an opening, or empty")
    return Cursor(match[1] or "", int(match[2]))


def parse_range(account_id: str, session_id: str, after: str, up_to: str, limit: int) -> Range:
    """Return what the fields of a request for a replay mean. Raise ValueError, naming the field."""
    start = parse_cursor(after, field="after")
    if start is None:
        raise ValueError("after: must be the cursor of the last event that the client has")
    return Range(
        _parse_uuid(account_id, field="account_id"),
        _parse_uuid(session_id, field="session_id"),
        start,
        parse_cursor(up_to, field="up_to"),
        min(limit or MAX_REPLAYED, MAX_REPLAYED),
    )


def _parse_uuid(text: str, *, field: str) -> UUID:
    """Return a UUID in its canonical text form. Raise ValueError, naming the field."""
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text.lower():
        raise ValueError(f"{field}: must be a UUID in its canonical form")
    return value


def check_gateway_id(gateway_id: str) -> str:
    """Return the name if it is well formed. Raise ValueError."""
    if _GATEWAY_ID.fullmatch(gateway_id) is None:
        raise ValueError("gateway_id: must be 1 to 64 letters, digits, dots, hyphens and underscores")
    return gateway_id
