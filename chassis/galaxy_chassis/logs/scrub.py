"""Removes from log lines what they must never contain: addresses, passwords, codes and tokens (SPEC K-8).

The rule is that nobody logs them; this covers what libraries write, such as a driver's
`Key (email)=(…) already exists`.
"""

import hashlib
import hmac
import re
import secrets
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

REDACTED = "[redacted]"
LONGEST = 16_384
"""Characters of one string that are kept; it also bounds the time the patterns take."""
DEEPEST = 6
"""Levels of nesting that are kept."""

_KEY = secrets.token_bytes(32)  # per process: hashes of two runs cannot be matched, nor tried from outside

# Each pattern is anchored or bounded so that it takes linear time on any text.
_ATOM_CHARACTERS = r"\w.!#$&*+^`{|}~-"
_ATOM = rf"(?:[{_ATOM_CHARACTERS}]|%(?!40))++"
_EMAIL = re.compile(
    rf"(?:(?<![{_ATOM_CHARACTERS}])(?:(?<!%)|(?=40)){_ATOM}(?:'{_ATOM}){{0,3}}+"  # dot-atom, apostrophes in it
    r"""|"[^"\n]{1,64}")"""  # or a quoted local part (RFC 5321, 4.1.2)
    r"={0,2}(?:@|%40)(?!sha(?:256|512):)"  # name@sha256:… is a container image
    r"(?:\w(?:[\w.-]{0,253}\w)?|\[[0-9a-fA-FIPv:.]{2,45}\])"
)
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,30}://)[^\s/]{1,512}@")
_CREDENTIALS = re.compile(r"\b((?i:bearer|basic))(\s+)(?=\S*[A-Z0-9=])[\w.~+/=-]{6,}")
_HEADER = re.compile(r"(?i)((?:authorization|cookie)[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+")
_NAME = r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key)\w{0,32}"
_ASSIGNED = re.compile(rf"""(?i)({_NAME}(?:["')\]]*\s*=\s*|["']\s*:\s*|:)b?["'(\[]*)(?!\[redacted)[^\s"',;&)\]}}]+""")
_SAID = re.compile(rf"""(?i)({_NAME}:\s+["']?)(?=[^\s"']*\d|[^\s"']{{16}})[^\s"']{{6,}}""")
_TOKEN = re.compile(r"gxs_[A-Za-z0-9_-]{16,}")  # a session token, whole or cut; its mark is there to be found by
_SEPARATOR = r"[^\S\n]|[\-+_\u2010-\u2015\u2212]"  # between the digits of a code, as people and our mails write it
_DIGITS = rf"\d(?:(?:{_SEPARATOR}){{0,3}}\d){{5,9}}(?!\d)"
_CODE_WORD = r"(?:(?<![^\W_])(?i:code)|(?<=[a-z\d])Code)(?![^\W_])"  # also in sign_in_code and signInCode
_CODE = re.compile(rf"({_CODE_WORD}[^\d\n]{{1,30}}){_DIGITS}")
_CODE_FIRST = re.compile(rf"()(?<!\d){_DIGITS}(?=[^\d\n]{{1,30}}{_CODE_WORD})")
_INVISIBLE = re.compile(  # soft hyphen, joiners, directions, fillers, variation selectors, tags: nobody sees them
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_LAYERS = 3
"""Times that a text is percent-decoded at most."""

_SECRET_WORDS = frozenset(
    (
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "apikey",
    )
)
_KINDS_OF_KEYS = frozenset(("api", "access", "private", "secret", "signing"))
_HARMLESS_CODES = frozenset(("close", "country", "error", "exit", "grpc", "problem", "return", "smtp", "status"))
_SCALARS = frozenset((str, int, float, bool, type(None)))


def email_hash(address: str) -> str:
    """Return what replaces an e-mail address in logs: 16 hexadecimal digits, the same all through one process.

    HMAC-SHA256 of the case-folded address under a key that is drawn at each start.
    """
    return hmac.digest(_KEY, address.strip().casefold().encode("utf-8", "replace"), hashlib.sha256).hex()[:16]


def suspicious(text: str) -> bool:
    """Return, cheaply, whether a text may hold something to scrub."""
    lower = text.lower()
    return (  # a chain of searches takes half the time of one pattern with alternatives
        "@" in lower
        or "%40" in lower
        or "token" in lower
        or "code" in lower
        or "gxs_" in lower
        or "pass" in lower
        or "secret" in lower
        or "api_key" in lower
        or "api-key" in lower
        or "apikey" in lower
        or "bearer" in lower
        or "basic" in lower
        or "cookie" in lower
        or "authoriz" in lower
        or "%" in lower
        or (not lower.isascii() and _INVISIBLE.search(lower) is not None)
        or len(lower) > LONGEST
    )


def scrub_text(text: str) -> str:
    """Remove addresses, credentials and labelled secrets from a text.

    One that percent-encoding or invisible characters hid comes back without these.
    """
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"
    if not suspicious(text):
        return text
    text = _scrubbed(text)
    plain_text = _undisguised(text)
    if plain_text == text:
        return text
    scrubbed = _scrubbed(plain_text)
    return text if scrubbed == plain_text else scrubbed


def _undisguised(text: str) -> str:
    """Return a text without what may hide a secret from the patterns and hides it from no reader."""
    for _ in range(_MOST_LAYERS):
        if "%" not in text and text.isascii():
            break
        before, text = text, _CONTROL.sub(" ", unquote(_INVISIBLE.sub("", text)))
        if text == before:
            break
    return text


def _scrubbed(text: str) -> str:
    if "://" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(lambda match: f"email:{email_hash(unquote(match[0]))}", text)
    text = _CREDENTIALS.sub(rf"\1\2{REDACTED}", text)
    text = _TOKEN.sub(REDACTED, text)
    for pattern in (_HEADER, _ASSIGNED, _SAID, _CODE, _CODE_FIRST):
        text = pattern.sub(rf"\1{REDACTED}", text)
    return text


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Return whether a field of this name holds a secret."""
    separated = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", _undisguised(key))
    words = re.split(r"[^a-z0-9]+", separated.lower())
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    if words[-1] == "key":
        return not _KINDS_OF_KEYS.isdisjoint(words[-2:-1])
    return words[-1] == "code" and _HARMLESS_CODES.isdisjoint(words[-2:-1])


def plain(key: str, value: Any, depth: int = 0) -> Any:
    """Return a value as JSON's types, with the fields that are named like secrets redacted."""
    if value is None or isinstance(value, bool):
        return value
    if is_secret_key(key):
        return REDACTED
    if type(value) in _SCALARS:
        return value
    if isinstance(value, dict | list | tuple | set | frozenset) and depth < DEEPEST:
        if isinstance(value, dict):
            return {str(name): plain(str(name), item, depth + 1) for name, item in value.items()}
        return [plain("", item, depth + 1) for item in value]
    return str(value)


def scrub(value: Any) -> Any:
    """Scrub every string in a value of JSON's types, the names of fields included."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, dict):
        return {scrub_text(name): scrub(item) for name, item in value.items()}
    if isinstance(value, list):
        return [scrub(item) for item in value]
    return value
