"""Codes, tokens and the keys by which they are stored and counted. No I/O."""

import base64
import hashlib
import hmac
import random
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from galaxy_contracts import networks
from galaxy_contracts.formats import is_invisible, parse_language, parse_name, parse_time_zone

MAX_TRIES = 5
"""Attempts for one challenge (SPEC A-2)."""
CHALLENGES_KEPT = timedelta(days=1)
"""How long a challenge is kept: as long as the longest throttle counts it."""
FEW_TRIES = 2
"""Attempts for one challenge while very many codes are wrong."""
STRANGERS = 3
"""How many times the allowance of one network all those together have that did not sign in to the address lately."""
NETWORK_KNOWN = timedelta(days=60)
"""How long a network is known to an account that signed in from it."""
WRONG_CODES_KEPT = timedelta(hours=1)
CODE_DIGITS = 8

TOKEN_PREFIX = "gxs_"  # noqa: S105 # the public mark by which scanners of leaked secrets know a token
TOKEN_BYTES = 32
"""256 random bits."""
TOKEN_LENGTH = len(TOKEN_PREFIX) + 43
"""Characters: the prefix and 32 bytes in base64 without padding."""

_CODE = re.compile(rf"[0-9]{{{CODE_DIGITS}}}")
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u2212]+")
"""Characters that people and mail programs put between digits: spaces, hyphens and dashes of all kinds."""
_MAX_DEVICE = 80
"""Characters of a device's name."""


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
    """Return the digits of a code that was typed or pasted. Raise ValueError when it is not a code.

    What a person does not see is dropped, as copying may bring it along, and digits of any script count: it can turn no
    wrong code into a right one (WCAG 2.2, 3.3.8).
    """
    seen = "".join(each for each in unicodedata.normalize("NFKC", text) if not is_invisible(each))
    code = "".join(str(unicodedata.decimal(each, each)) for each in _SEPARATORS.sub("", seen))
    if _CODE.fullmatch(code) is None:
        raise ValueError(f"must be {CODE_DIGITS} digits")
    return code


def language_hint(text: str | None) -> str | None:
    """Return the language that a client gathered from its system, such as `de_AT.UTF-8`; None where it is none."""
    tag = re.split("[.@]", (text or "").strip(), maxsplit=1)[0].replace("_", "-")
    return _hint(parse_language, tag)


def time_zone_hint(text: str | None) -> str | None:
    """Return the time zone that a client gathered from its system; None where it is none, such as `Etc/Unknown`."""
    return _hint(parse_time_zone, (text or "").strip())


def device_hint(text: str | None) -> str | None:
    """Return the name of a device as one line of what is visible in it, cut to length; None where nothing is left."""
    seen = (each if unicodedata.category(each)[0] != "C" else " " for each in text or "" if not is_invisible(each))
    return _hint(parse_name, " ".join("".join(seen).split())[:_MAX_DEVICE])


def _hint(parse: Callable[[str], str], text: str) -> str | None:
    try:
        return parse(text)
    except ValueError:
        return None


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


def mailbox_key(key: bytes, folded: str) -> bytes:
    """Return the key by which the codes of one mailbox are counted: a `+tag` of the local part makes no other one."""
    local, _, domain = folded.rpartition("@")
    return hmac.digest(key, b"mailbox\0" + f"{local.partition('+')[0] or local}@{domain}".encode(), hashlib.sha256)


class ClientKeys(NamedTuple):
    """The keys by which codes of one client are counted, from the narrowest network to the widest.

    Of IPv6 these are the /64, the /56 and the /48: one subscriber may have all of it. An IPv4 address is the first two,
    its /24 the last.
    """

    client: bytes
    site: bytes
    network: bytes


def client_keys(key: bytes, client_address: str) -> ClientKeys:
    """Return the keys of a client; the address itself is not stored."""
    levels = {"client": networks.CLIENT, "site": networks.SITE, "network": networks.NETWORK}
    return ClientKeys(
        *(
            hmac.digest(key, f"{level}\0{networks.network_of(client_address, bits)}".encode(), hashlib.sha256)
            for level, bits in levels.items()
        )
    )


class Sent(msgspec.Struct, frozen=True):
    """The input of the throttles.

    Each time is when the oldest of the allowed number of codes was requested; None while there were fewer.
    """

    known: bool
    """Whether the mailbox was signed in to from the client's site lately."""
    newest: datetime | None = None
    """The newest code of this network for this mailbox."""
    own_newest: datetime | None = None
    """The newest code of this site for this mailbox."""
    here: datetime | None = None
    """Of this network for this mailbox, in a day."""
    own_here: datetime | None = None
    """Of this site for this mailbox, in a day."""
    strangers: datetime | None = None
    """Of all networks that are not known for this mailbox, in a day."""
    client: datetime | None = None
    """Of the client, in an hour; likewise of the wider networks."""
    site: datetime | None = None
    network: datetime | None = None
    everybody: datetime | None = None
    """Of everybody who is not known, in an hour."""
    wrong: datetime | None = None
    """Wrong codes of everybody, in an hour."""


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def refusal(sent: Sent, now: datetime, resend_interval: timedelta) -> tuple[str, timedelta] | None:
    """Return which throttle holds longest, and how long; None when none does (SPEC A-3).

    A site that is known has an allowance of its own: whatever others request, in its wider network too, does not
    count. A throttle lasts no longer than its own length from now, even when a time it counts from lies in the future.
    """
    if sent.known:
        lengths = {"own_newest": resend_interval, "own_here": _DAY}
    else:
        by_client = {"client": _HOUR, "site": _HOUR, "network": _HOUR}
        lengths = {"newest": resend_interval, "here": _DAY, "strangers": _DAY, "everybody": _HOUR, **by_client}
    waits = [
        (min(made, now) + length - now, name)
        for name, length in lengths.items()
        if (made := getattr(sent, name)) is not None
    ]
    wait, name = max(waits, default=(timedelta(0), ""))
    return (name, wait) if wait > timedelta(0) else None


def tries_allowed(sent: Sent) -> int:
    """Return the attempts of a new challenge."""
    return MAX_TRIES if sent.known or sent.wrong is None else FEW_TRIES
