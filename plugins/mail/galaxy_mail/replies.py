"""What a relay's refusal is about: us, the recipient, or neither by its words (RFC 3463). No I/O.

The stage of a refusal does not tell: a relay may hold back what it has against client, greeting and sender until RCPT,
and what it has against our account until the final dot. The enhanced status code names the subject; where there is
none, or one that covers everything (x.7.1), the names that we go by and the usual wordings do.

Parts of a reply may be a stranger's: a relay that verifies recipients quotes the recipient's server. So only the words
before a quotation count, and a code that names the recipient goes before any word.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from galaxy_mail.domain import scrub


class Subject(Enum):
    """Who or what a refusal is about."""

    US = auto()
    """Our login, sender, greeting, address or quota, or the relay itself: the next mail would fare the same."""
    RECIPIENT = auto()
    """This recipient alone."""
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Identity:
    """The names by which the relay knows us."""

    sender: str
    names: Collection[str] = ()
    """The name of our greeting and the address of the connection."""


_ENHANCED = re.compile(r"[245]\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9.])")
_ABOUT_US = {503, 504, 521, 530, 534, 535, 538}
"""Wrong order, parameter not implemented (a greeting), no mail here, and everything about the login (RFC 4954)."""
_RECIPIENTS = {"1.1", "1.2", "1.3", "1.4", "1.6", "1.10", "4.1", "4.4", "4.6", "4.7"}
"""The recipient's address, and the way from the relay to it; besides all of x.2.z, the mailbox."""
_OURS = {
    *("1.7", "1.8", "4.5", "5.2", "3.2"),  # sender, congestion (used for quotas), syntax, not accepting mail
    *("7.3", "7.8", "7.9", "7.11", "7.14"),  # login missing, wrong, too weak, needs encryption, needs a browser
    *("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"),  # DKIM, SPF, reverse DNS, sender without MX
    *("7.28", "7.54", "7.57", "7.60", "7.64", "7.705", "7.708"),  # makers' own: rate, relaying, sending as another
}
_BANNED = range(606, 650)
"""x.7.606 to x.7.649, one maker's own: our address is banned."""
_QUOTED = (" said:", " said ", " replied:", " responded", "in reply to", "remote server", "callout")
_SUBMISSION = (
    *("sendasdenied", "send as denied", "allowed to send as", "submissionquota", "submission quota", "outboundspam"),
    *("sender account", "unusual sending", "suspicious sending", "message quota exceeded", "throttling failure"),
)
"""What makers write, partly under codes of mailboxes, when they refuse the account that we send from."""
_WORDINGS = (
    *("relay access denied", "relaying denied", "unable to relay", "not permitted to relay", "relay not permitted"),
    *("relaying not allowed", "relaying not permitted", "relaying prohibited", "relay denied", "cannot relay"),
    *("sender address rejected", "sender rejected", "sender denied", "sender verify failed", "not owned by user"),
    *("helo command rejected", "ehlo command rejected", "invalid helo", "invalid ehlo", "bad helo", "bad ehlo"),
    *("client host rejected", "client host [", "blocked using", "your ip", "your host", "your server", "sending ip"),
    *("authentication required", "authentication is required", "must authenticate", "not authenticated", "auth first"),
    *("must issue a starttls", "sending limit", "sending quota", "daily limit", "daily quota", "hourly limit"),
    *("rate limit", "too many messages", "too many connections", "too many mails", "account suspended"),
    *("sender verification failed", "sending domain does not", *_SUBMISSION),
    *("account is suspended", "account has been suspended", "account disabled", "your account", "sending account"),
)
"""What makers and administrators usually write when they refuse the client."""
_GREYLISTED = ("greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list", "postgrey")
_LATER = ("try again", "try later", "retry", "deferred", "delayed", "come back", "seconds", "minutes")
_NO_MAILBOX = (
    *("user unknown", "unknown user", "no such user", "unknown recipient", "no such recipient", "invalid recipient"),
    *("no such mailbox", "mailbox unavailable", "mailbox full", "mailbox is full", "does not exist", "no mailbox here"),
)
"""What relays without enhanced codes write about a recipient."""


def subject_of(code: int, text: str, recipient: str, ours: Identity) -> Subject:
    """Return what a refusal is about, by its code and text."""
    if code in _ABOUT_US:
        return Subject.US
    enhanced = _ENHANCED.match(text)
    said = _before_quotation(text.lower())
    if code < 500 and _is_greylisting(enhanced, said):
        return Subject.RECIPIENT
    by_code = Subject.UNKNOWN if enhanced is None else _subject_of_code(enhanced)
    if by_code is Subject.RECIPIENT:
        return Subject.US if _is_submission(said, recipient.lower(), ours) else Subject.RECIPIENT
    is_content = enhanced is not None and (enhanced[1] == "6" or (enhanced[1], enhanced[2]) == ("3", "4"))
    if is_content:  # or its size: its words may be the content's
        return Subject.UNKNOWN
    if by_code is Subject.US or _names_us(said, recipient.lower(), ours) or _has_any(said, _WORDINGS):
        return Subject.US
    return Subject.RECIPIENT if enhanced is None and _has_any(said, _NO_MAILBOX) else Subject.UNKNOWN


def _subject_of_code(enhanced: re.Match[str]) -> Subject:
    subject = f"{enhanced[1]}.{enhanced[2]}"
    if enhanced[1] == "2" or subject in _RECIPIENTS:
        return Subject.RECIPIENT
    is_banned = enhanced[1] == "7" and int(enhanced[2]) in _BANNED
    return Subject.US if subject in _OURS or is_banned else Subject.UNKNOWN


def _is_greylisting(enhanced: re.Match[str] | None, said: str) -> bool:
    """Return whether a mail is deferred for being new to its recipient (RFC 6647): each waits for itself."""
    is_policy = enhanced is not None and (enhanced[1], enhanced[2]) in (("7", "1"), ("2", "0"))
    return _has_any(said, _GREYLISTED) or (is_policy and _has_any(said, _LATER))


def _is_submission(said: str, recipient: str, ours: Identity) -> bool:
    """Return whether a code about a mailbox is about the one that we send from: some makers use it for that."""
    return recipient not in said and (_names_us(said, recipient, ours) or _has_any(said, _SUBMISSION))


def pattern_of(code: int, text: str, recipient: str) -> str:
    """Return what is the same in refusals of several mails for one reason: without addresses and varying marks."""
    domain = recipient.rpartition("@")[2].lower()
    words = scrub(text, recipient).lower().replace(domain, "<domain>").split()
    return " ".join([str(code), *("#" if any(map(str.isdigit, word)) else word for word in words)])


def _before_quotation(said: str) -> str:
    found = [place for mark in _QUOTED if (place := said.find(mark)) >= 0]
    return said[: min(found)] if found else said


def _names_us(said: str, recipient: str, ours: Identity) -> bool:
    sender = ours.sender.lower()
    if sender != recipient and _has_word(said, sender):
        return True
    without = scrub(said, recipient)  # a recipient may be at a domain of our own name
    return any(_has_word(without, name.lower().strip("[]").removeprefix("ipv6:")) for name in ours.names)


def _has_any(said: str, wordings: Collection[str]) -> bool:
    return any(wording in said for wording in wordings)


def _has_word(text: str, word: str) -> bool:
    """Return whether a text has a word, not as a part of a longer name or number."""
    place = text.find(word) if word else -1
    while place >= 0:
        around = text[place - 1 : place] + text[place + len(word) : place + len(word) + 1]
        if not any(character.isalnum() or character == "-" for character in around):
            return True
        place = text.find(word, place + 1)
    return False
