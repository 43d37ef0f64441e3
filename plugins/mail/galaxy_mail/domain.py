"""Deliveries, and the rules of mail: addresses, subjects, keys, scrubbed replies. No I/O."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from galaxy_contracts.formats import ENCODED_WORD, Address, parse_address

DeliveryState = Literal["pending", "retrying", "sent", "dead_lettered"]

MAX_KEY = 255
"""Characters of an idempotency key: far below the 2,704 octets of an index's entry."""

MAX_REPLY = 1_000
"""Characters of a relay's reply that are looked at: a line of it has at most 512 octets (RFC 5321, 4.5.3.1.5)."""

MAX_UNSUBSCRIBE_URL = 900
"""Characters of a link to unsubscribe: its header is one line, of at most 998 octets (RFC 5322, section 2.1.1)."""

_URL = re.compile(r"https?://[!-;=?-~]+")
"""Printable ASCII but for angle brackets."""
_LINE_BREAKS = re.compile("[\r\n]")
_BETWEEN = " \t\n<>,;()\"'`"
"""Characters that no address has in it, as far as `_ADDRESS` goes."""
_ADDRESS = re.compile(r"(?<![^\s<>@,;:()\[\]\"'`])[^\s<>@,;:()\[\]\"'`]++@[^\s<>@,;()\"'`]+")
"""Begins only at the beginning of a word and never reads one twice: it takes linear time."""
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered mail."""

    subject: str
    text: str
    html: str


Identity = UUID | tuple[str, str]
"""The identity of a delivery: its kind and key, or else its own id."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A delivery to queue."""

    id: UUID
    kind: str
    recipient: str
    recipient_folded: str
    account_id: UUID | None
    message_id: str
    idempotency_key: str | None
    expires_at: datetime | None
    request_id: str
    mime: bytes | None = None
    sealed: bytes | None = None
    last_error: str | None = None
    """Why it has no mail: it is a dead letter from the beginning."""

    @property
    def identity(self) -> Identity:
        """The identity that equal deliveries share."""
        return self.id if self.idempotency_key is None else (self.kind, self.idempotency_key)


def parse_recipient(address: str) -> Address:
    """Read one address, without a display name. Raise ValueError that names the field and never quotes it."""
    try:
        return parse_address(address)
    except ValueError as fault:
        raise ValueError(f"recipient: {fault}") from None


def envelope_of(readable: str) -> str:
    """Return the envelope's form of an address in its readable form."""
    return readable if readable.isascii() else parse_address(readable).envelope


def comparable(address: str) -> str:
    """Return the form by which addresses are compared, the same whatever their case; other text is unchanged."""
    try:
        return parse_address(address.strip()).folded
    except ValueError:
        return address


def check_subject(subject: str) -> str:
    """Return a subject that is one line of a header. Raise ValueError, naming the field, for CR and LF.

    Other control characters and Unicode's line separators become spaces, for the standard library treats some of them
    as line breaks; text that looks like an encoded word is broken up.
    """
    if _LINE_BREAKS.search(subject):
        raise ValueError("subject: must not contain CR or LF")
    return _NOT_PRINTABLE.sub(" ", subject).strip().replace(ENCODED_WORD, "= ?")


def check_key(key: str | None) -> str | None:
    """Return an idempotency key that the database can hold. Raise ValueError that names the field."""
    if key is not None and (len(key) > MAX_KEY or not key.isprintable()):
        raise ValueError(f"idempotency_key: must be one printable line of at most {MAX_KEY} characters")
    return key


def check_unsubscribe_url(url: str | None) -> str | None:
    """Return a link that its header can hold between angle brackets. Raise ValueError that names the field."""
    if url is None or (_URL.fullmatch(url) and len(url) <= MAX_UNSUBSCRIBE_URL and ENCODED_WORD not in url):
        return url
    raise ValueError(f"unsubscribe_url: must be a URL of http or https, of at most {MAX_UNSUBSCRIBE_URL} characters")


def scrub(text: str, recipient: str | None = None) -> str:
    """Remove addresses from a relay's reply, which is kept in rows and logs; a long one is cut first."""
    text = _cut(text)
    local = (recipient or "").rpartition("@")[0]
    if recipient and local.lower() in text.lower():  # rarely: patterns for each recipient are not cheap
        text = re.sub(re.escape(recipient), "<address>", text, flags=re.IGNORECASE)
        text = re.sub(rf"(?<![\w.]){re.escape(local)}(?![\w])", "<address>", text, flags=re.IGNORECASE)
    return _ADDRESS.sub("<address>", text).replace("<<address>>", "<address>")


def _cut(text: str) -> str:
    """Cut a long text at the end of a word, so that no half of an address is left."""
    if len(text) <= MAX_REPLY:
        return text
    cut = text[:MAX_REPLY]
    return cut[: max(map(cut.rfind, _BETWEEN)) + 1] or cut
