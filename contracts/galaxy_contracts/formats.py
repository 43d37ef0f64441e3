"""Formats of people's input, checked the same in every plugin: addresses, languages, time zones, names.

Each function returns the value in the form that is stored, or raises `ValueError` with a message for the person who
typed it; the message never holds the value.
"""

import re
import unicodedata
from functools import cache
from zoneinfo import available_timezones

import idna
import msgspec
from email_validator import EmailNotValidError, validate_email

MAX_ADDRESS = 254
"""Octets of an address, in whatever form (RFC 5321, 4.5.3.1.3, less the angle brackets)."""
_MAX_LOCAL = 64
"""Octets of the part before the @ (RFC 5321, 4.5.3.1.1)."""
ENCODED_WORD = "=?"
"""How an encoded word begins (RFC 2047).

The standard library decodes one wherever it finds it and writes its content,
line breaks included: unencoded text for a header must not contain one.
"""

_LINE_BREAK = re.compile("[\r\n]")
_NOT_AN_ADDRESS = "is not an e-mail address: expected something like player@example.org"
_TOO_LONG = f"is longer than an e-mail address can be: at most {MAX_ADDRESS} octets, {_MAX_LOCAL} before the @"

# RFC 5646, 2.1, without the grandfathered and the private tags. Of the primary subtags only those of two and three
# letters are accepted: longer ones are well formed, but none is registered, and `english` should be refused.
_LANGUAGE = re.compile(
    r"(?P<language>[a-z]{2,3}(-[a-z]{3}){0,3})"
    r"(-(?P<script>[a-z]{4}))?"
    r"(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(-[0-9a-wyz](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?)",
    re.ASCII | re.IGNORECASE,
)
MAX_LANGUAGE = 35
"""Characters: room for every subtag but repeated extensions (RFC 5646, 4.4.1)."""

_NO_ZONES = {"Factory", "localtime", "posixrules"}
"""Files beside the zones that are not zones: the machine's own choice, and a placeholder."""

_MAX_MARKS = 4
"""Nonspacing marks in a row (UTS #39, 5.4): more paint over the lines around them."""

_JOINERS = "\u200c\u200d"
"""Invisible, but without them Persian, Hindi and many emoji cannot be written."""
_EMOJI_STYLES = "\ufe0e\ufe0f"
"""Select how the symbol before them is shown."""
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""The flag of a part of a country, such as Scotland (UTS #51, ED-14a): a black flag and invisible tags."""
_INVISIBLE = re.compile(
    # Default_Ignorable_Code_Point of DerivedCoreProperties.txt, Unicode 16
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # letters and symbols whose glyph is blank
    "\u2800\U0001d159\U00013441\U00013442\U00016fe4]"
)


class Address(msgspec.Struct, frozen=True):
    """A valid e-mail address, in the forms that are stored."""

    typed: str
    """As the person typed it, composed to NFC: for showing it to them."""
    folded: str
    """The one spelling by which addresses are compared."""
    envelope: str
    """For SMTP: the domain as A-labels (RFC 5890). Only a local part beyond ASCII needs SMTPUTF8 (RFC 6531)."""
    readable: str
    """The envelope's form for people: the domain in Unicode. It has the same envelope."""


def parse_address(text: str) -> Address:
    """Check an address for its form alone: domains like `example.test` and `localhost` are valid, DNS is not queried.

    Every valid address can sign in and receive mail. It has no line break, no encoded word and no quotes, so it is safe
    in a header and in an SMTP command. `folded` has the local part in NFC and lower case, and not in full case folding,
    since that makes `ß` into `ss`: two mailboxes would become one account, and the holder of one could sign in as the
    other.
    """
    if _LINE_BREAK.search(text):
        raise ValueError("must not contain CR or LF: no e-mail address does")
    if ENCODED_WORD in text:
        raise ValueError(f"must not contain {ENCODED_WORD}, which begins an encoded word in a mail")
    if len(text) > MAX_ADDRESS:
        raise ValueError(_TOO_LONG)
    local, _, domain = unicodedata.normalize("NFC", text).rpartition("@")
    folded = unicodedata.normalize("NFC", local.lower())
    try:
        # the library always refuses test domains, so it checks the local part with another domain
        validate_email(f"{local}@example.org", check_deliverability=False)
        ascii_domain, readable_domain = _domain(domain)
    except (EmailNotValidError, UnicodeError):
        raise ValueError(_NOT_AN_ADDRESS) from None
    address = Address(
        typed=f"{local}@{domain}",
        folded=f"{folded}@{ascii_domain}",
        envelope=f"{local}@{ascii_domain}",
        readable=f"{local}@{readable_domain}",
    )
    forms = (address.typed, address.folded, address.envelope, address.readable)
    if not all(form.isprintable() for form in forms):
        raise ValueError(_NOT_AN_ADDRESS)
    local_octets = max(len(local.encode()), len(folded.encode()))  # some letters become longer in lower case
    if max(len(form.encode()) for form in forms) > MAX_ADDRESS or local_octets > _MAX_LOCAL:
        raise ValueError(_TOO_LONG)
    return address


def _domain(domain: str) -> tuple[str, str]:
    """Return a domain as A-labels and in Unicode, both in lower case. Raise UnicodeError for anything else."""
    if domain.endswith((".", "\u3002", "\uff0e", "\uff61")):
        raise UnicodeError("the root is not written in addresses")
    encoded = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    decoded = idna.decode(encoded)
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in decoded):
        for label in decoded.split("."):  # the library checks each label alone (RFC 5893, 1.4)
            idna.check_bidi(label, check_ltr=True)
    return encoded, decoded


def parse_language(text: str) -> str:
    """Check that a language tag is well formed by BCP 47; return it in its usual case: `de-AT`, `zh-Hant-TW`."""
    found = _LANGUAGE.fullmatch(text) if len(text) <= MAX_LANGUAGE else None
    if found is None:
        raise ValueError("is not a language tag as in BCP 47: expected something like en or de-AT")
    parts = [found["language"].lower()]
    if found["script"]:
        parts.append(found["script"].title())
    if found["region"]:
        parts.append(found["region"].upper())
    return "-".join(parts) + (found["variants"] + found["extensions"]).lower()


def parse_time_zone(text: str) -> str:
    """Check that a time zone is in the IANA database that Python uses here."""
    if text not in _time_zones():
        raise ValueError("is not a time zone of the IANA database: expected something like Europe/Vienna")
    return text


def parse_name(text: str) -> str:
    """Check a name of a person or an object: one visible line that does not mislead.

    Spaces around it are dropped. Control characters, line breaks and invisible or direction-changing characters are
    refused (RFC 8264, 4.3), but where a script or an emoji needs them; a name needs at least one visible character.
    """
    name = unicodedata.normalize("NFC", text).strip()
    plain = _FLAG.sub("\U0001f3f4", name)
    seen = [each for place, each in enumerate(plain) if not _is_needed(plain, place)]
    categories = [unicodedata.category(character) for character in seen]
    if any(category[0] == "C" or category in ("Zl", "Zp") for category in categories) or any(map(is_invisible, seen)):
        raise ValueError("must not hold control characters, line breaks or invisible characters")
    if not any(category[0] in "LNPS" for category in categories):
        raise ValueError("must hold at least one visible character")
    marks = "".join("m" if category in ("Mn", "Me") else " " for category in categories)
    if "m" * (_MAX_MARKS + 1) in marks:
        raise ValueError(f"must not hold more than {_MAX_MARKS} marks on one letter")
    return name


def is_invisible(character: str) -> bool:
    """Return whether a character shows nothing, is not a space, and takes no part in words (Unicode Standard, 5.21)."""
    return _INVISIBLE.match(character) is not None or unicodedata.category(character) == "Cf"


_KEYCAP = "\u20e3"
_OTHER_EMOJI = "\u203c\u2049\u2194\u25fd\u25fe\u3030\u303d"
"""Emoji that are not symbols by their general category (Unicode's emoji-data.txt)."""


def _is_needed(name: str, place: int) -> bool:
    """Return whether an invisible character belongs where it is: RFC 5892, appendix A, and emoji (UTS #51)."""
    character, before, after = name[place], name[place - 1 : place], name[place + 1 : place + 2]
    if character in _EMOJI_STYLES:
        return _is_pictograph(before) or (before in tuple("0123456789#*") and after == _KEYCAP)
    if character not in _JOINERS:
        return False
    if character == "\u200d" and _is_pictograph(after) and (_is_pictograph(before) or before in tuple(_EMOJI_STYLES)):
        return True
    try:
        return idna.core.valid_contextj(name, place)
    except ValueError:  # a character beside it is not assigned
        return False


def _is_pictograph(character: str) -> bool:
    """Return whether a character may be an emoji or its skin tone: not a letter, a digit or a sign of ASCII."""
    if not character or is_invisible(character):
        return False
    is_tone = "\U0001f3fb" <= character <= "\U0001f3ff"
    return is_tone or unicodedata.category(character) == "So" or character in _OTHER_EMOJI


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_ZONES)
