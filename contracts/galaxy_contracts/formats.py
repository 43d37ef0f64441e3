"""Values that several plugins take from people, checked alike everywhere: addresses, languages, time zones, names.

Each function gives the value in the form that is kept, or raises `ValueError` with a message for the person who typed
it; the message never holds the value.
"""

import re
import unicodedata
from functools import cache
from zoneinfo import available_timezones

import idna
import msgspec
from email_validator import EmailNotValidError, validate_email

MAX_ADDRESS = 254
"""Octets of an address with its domain in ASCII (RFC 5321, 4.5.3.1.3, less the angle brackets)."""

_NOT_AN_ADDRESS = "is not an e-mail address: expected something like player@example.org"

# RFC 5646, 2.1, without the grandfathered and the private tags. Of the primary subtags only those of two and three
# letters are taken: longer ones are well formed, but none is registered, and `english` should be refused.
_LANGUAGE = re.compile(
    r"(?P<language>[a-z]{2,3}(-[a-z]{3}){0,3})"
    r"(-(?P<script>[a-z]{4}))?"
    r"(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(-[0-9a-wyz](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?)",
    re.ASCII | re.IGNORECASE,
)
_MAX_LANGUAGE = 35
"""Characters: room for every subtag but repeated extensions (RFC 5646, 4.4.1)."""

_NO_ZONES = {"Factory", "localtime", "posixrules"}
"""Files beside the zones that are none: the machine's own choice, and a placeholder."""

_JOINERS = "\u200c\u200d"
"""Invisible, but without them Persian, Hindi and many emoji cannot be written."""


class Address(msgspec.Struct, frozen=True):
    """An e-mail address that passed the check."""

    typed: str
    """As the person typed it, composed to NFC: where mail goes."""
    folded: str
    """The one spelling by which addresses are compared."""


def parse_address(text: str) -> Address:
    """Check an address for its form alone: domains like `example.test` and `localhost` pass, no DNS is asked.

    `folded` has the domain as A-labels (RFC 5890), the local part in NFC and lower case. It is lower case and not
    full case folding, since that makes `ß` into `ss`: two mailboxes would become one account, and the holder of one
    could sign in as the other.
    """
    if len(text) > MAX_ADDRESS:
        raise ValueError(f"is longer than an e-mail address can be: at most {MAX_ADDRESS} characters")
    local, at, domain = unicodedata.normalize("NFC", text).rpartition("@")
    if not at or domain.endswith((".", "\u3002", "\uff0e", "\uff61")):
        raise ValueError(_NOT_AN_ADDRESS)
    try:
        # the library refuses test domains whatever it is told, so it checks the local part before a domain it likes
        validate_email(f"{local}@example.org", check_deliverability=False)
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (EmailNotValidError, UnicodeError):
        raise ValueError(_NOT_AN_ADDRESS) from None
    if len(local.encode()) + 1 + len(ascii_domain) > MAX_ADDRESS:
        raise ValueError(f"is longer than an e-mail address can be: at most {MAX_ADDRESS} characters")
    folded = unicodedata.normalize("NFC", local.lower())
    return Address(f"{local}@{domain}", f"{folded}@{ascii_domain}")


def parse_language(text: str) -> str:
    """Check that a language tag is well formed by BCP 47, and give it in its usual case: `de-AT`, `zh-Hant-TW`."""
    found = _LANGUAGE.fullmatch(text) if len(text) <= _MAX_LANGUAGE else None
    if found is None:
        raise ValueError("is not a language tag as in BCP 47: expected something like en or de-AT")
    parts = [found["language"].lower()]
    if found["script"]:
        parts.append(found["script"].title())
    if found["region"]:
        parts.append(found["region"].upper())
    return "-".join(parts) + (found["variants"] + found["extensions"]).lower()


def parse_time_zone(text: str) -> str:
    """Check that a time zone stands in the IANA database that Python uses here."""
    if text not in _time_zones():
        raise ValueError("is not a time zone of the IANA database: expected something like Europe/Vienna")
    return text


def parse_name(text: str) -> str:
    """Check a name that people give to themselves or their things: one line that can be seen and misleads nobody.

    Spaces around it are dropped. Control characters, line breaks and invisible or direction-changing characters are
    refused; a name needs at least one character that leaves ink.
    """
    name = unicodedata.normalize("NFC", text).strip()
    categories = [unicodedata.category(character) for character in name if character not in _JOINERS]
    if any(category[0] == "C" or category in ("Zl", "Zp") for category in categories):
        raise ValueError("must not hold control characters, line breaks or invisible characters")
    if not any(category[0] in "LNPS" for category in categories):
        raise ValueError("must hold at least one visible character")
    return name


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_ZONES)
