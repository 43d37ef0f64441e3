"""Codes, tokens and the keys by which they are stored and counted. No I/O."""

import base64
import hashlib
import hmac
import random
import re
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from uuid import UUID

import msgspec

MAX_TRIES = 5
"""Attempts for one challenge (SPEC A-2)."""
CHALLENGES_KEPT = timedelta(days=1)
"""How long a challenge is kept: as long as the longest throttle counts it."""
CODE_DIGITS = 8

TOKEN_PREFIX = "gxs_"  # noqa: S105 # the public mark by which scanners of leaked secrets know a token
TOKEN_BYTES = 32
"""256 random bits."""
TOKEN_LENGTH = len(TOKEN_PREFIX) + 43
"""Characters: the prefix and 32 bytes in base64 without padding."""

_CODE = re.compile(rf"[0-9]{{{CODE_DIGITS}}}")
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u2212]+")
"""Characters that people and mail programs put between digits: spaces, hyphens and dashes of all kinds."""


class Session(msgspec.Struct, frozen=True):
    """A device session as every replica holds it in memory."""

    id: UUID
    account_id: UUID
    token_hash: bytes
    device_name: str
    created_at: datetime
    last_seen_at: datetime
    """When it was last used, as far as written to the database: the replica in use may know of a later use."""
    expires_at: datetime
    """Its absolute end."""


def new_challenge_id(source: random.Random) -> UUID:
    """Return an id that cannot be guessed: knowing it allows using up the challenge's attempts."""
    return UUID(int=source.getrandbits(128), version=4)


def new_code(source: random.Random) -> str:
    """Return a code, uniformly distributed, leading zeros included."""
    return f"{source.randrange(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def spaced(code: str) -> str:
    """Return a code formatted for reading: `1234 5678`."""
    return f"{code[: CODE_DIGITS // 2]} {code[CODE_DIGITS // 2 :]}"


def parse_code(text: str) -> str:
    """Return the digits of a code that was typed or pasted. Raise ValueError when it is not a code."""
    code = _SEPARATORS.sub("", text)
    if _CODE.fullmatch(code) is None:
        raise ValueError(f"must be {CODE_DIGITS} digits")
    return code


def code_hash(key: bytes, challenge_id: UUID, code: str) -> bytes:
    """Return the stored form of a code. It is bound to its challenge: equal codes of two challenges differ."""
    return hmac.digest(key, challenge_id.bytes + code.encode("ascii"), hashlib.sha256)


def new_token(source: random.Random) -> str:
    """Return a session token."""
    secret = source.getrandbits(TOKEN_BYTES * 8).to_bytes(TOKEN_BYTES, "big")
    return TOKEN_PREFIX + base64.urlsafe_b64encode(secret).rstrip(b"=").decode("ascii")


def token_hash(token: str) -> bytes:
    """Return the stored form of a token. Its 256 random bits need neither salt nor key stretching."""
    return hashlib.sha256(token.encode("ascii")).digest()


def address_key(key: bytes, folded: str) -> bytes:
    """Return the key by which the codes of one address are counted: it outlives the address and does not reveal it."""
    return hmac.digest(key, b"address\0" + folded.encode(), hashlib.sha256)


def client_key(key: bytes, client_address: str) -> bytes:
    """Return the key by which the codes of one client are counted; the address itself is not stored.

    Of IPv6 the /64 network counts, since a subscriber may choose any address in it.
    """
    return hmac.digest(key, b"client\0" + _network(client_address).encode(), hashlib.sha256)


def _network(client_address: str) -> str:
    try:
        address = ip_address(client_address)
    except ValueError:
        return client_address
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()


class Sent(msgspec.Struct, frozen=True):
    """The input of the throttles: when the counted challenges were created."""

    newest_of_address: datetime | None
    limiting_of_address: datetime | None
    """The oldest of the allowed number for an address a day; None while it had fewer."""
    limiting_of_client: datetime | None
    """The oldest of the allowed number for a client an hour; None while it had fewer."""


def wait_for(sent: Sent, now: datetime, resend_interval: timedelta) -> timedelta:
    """Return how long the next code must wait: zero when no throttle applies (SPEC A-3)."""
    ends = (
        (sent.newest_of_address, resend_interval),
        (sent.limiting_of_address, timedelta(days=1)),
        (sent.limiting_of_client, timedelta(hours=1)),
    )
    waits = (made + length - now for made, length in ends if made is not None)
    return max(timedelta(0), max(waits, default=timedelta(0)))
