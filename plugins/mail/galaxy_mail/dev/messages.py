"""Parses mails for the page. Nothing here raises, however broken or hostile the mail is: it shows what it can."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from html import unescape

HEADER_LIMIT = 1_000
"""Characters of a header that are decoded and shown."""
PART_LIMIT = 1 << 20
"""Bytes of a text, of the HTML and of the source that are shown; the complete mail can be downloaded."""
SUMMARY_LIMIT = 256 << 10
"""Bytes of a mail that are parsed for its line in the list, so that a huge mail costs no more than a large one."""

_CODE = re.compile(r"(?<![\w.:/+-])(\d{4})[ \u00a0\u2009\u202f-]?(\d{4})(?![\w:/+-]|\.\d)")
"""Eight digits that stand alone, in one or two groups."""
_HIDDEN = re.compile(r"<(style|script|head|title)\b", re.IGNORECASE)
_END = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("style", "script", "head", "title")}
_TAG = re.compile(r"<[^<>]*>")
_UNREADABLE = "(this part could not be read)"


@dataclass(frozen=True, slots=True)
class Summary:
    """A mail's line in the list."""

    sender: str
    recipients: tuple[str, ...]
    """The recipients of the envelope, Bcc included."""
    subject: str
    code: str | None
    """The code, where the mail has one."""


@dataclass(frozen=True, slots=True)
class View:
    """A mail as it is shown."""

    headers: tuple[tuple[str, str], ...]
    text: str
    """Empty when there is none."""
    html: str
    """As received, to be shown in a sandbox only; empty when there is none."""
    source: str
    truncated: bool
    """Whether `source` is only the beginning."""


def envelope(sender: str, recipients: list[str]) -> bytes:
    """Return the headers that final delivery puts before a mail (RFC 5321, section 4.4), from its envelope."""
    lines = [f"Return-Path: <{sender}>", *(f"Delivered-To: {recipient}" for recipient in recipients)]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def summarise(content: bytes) -> Summary:
    """Return the list's view of a mail."""
    message = _parse(content[:SUMMARY_LIMIT])
    headers = _headers(message)
    subject = _first(headers, "subject")
    delivered = [value for name, value in headers if name.lower() == "delivered-to"]
    return Summary(
        sender=_first(headers, "from") or _first(headers, "return-path"),
        recipients=tuple(delivered) or tuple(filter(None, [_first(headers, "to")])),
        subject=subject,
        code=_code(_part(message, "text/plain")) or _code(_visible(_part(message, "text/html"))) or _code(subject),
    )


def view(content: bytes) -> View:
    """Return the pane's view of a mail."""
    message = _parse(content)
    return View(
        headers=tuple(_headers(message)),
        text=_part(message, "text/plain"),
        html=_part(message, "text/html"),
        source=content[:PART_LIMIT].decode("utf-8", "replace"),
        truncated=len(content) > PART_LIMIT,
    )


def _parse(content: bytes) -> Message:
    try:
        return message_from_bytes(content, policy=compat32)
    except Exception:  # parts nested deeper than the parser goes, for instance
        head = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        message = message_from_bytes(head + b"\n\n", policy=compat32)
        message.set_payload(_UNREADABLE)
        for name in ("Content-Type", "Content-Transfer-Encoding"):
            del message[name]
        return message


def _headers(message: Message) -> list[tuple[str, str]]:
    return [(name, _header(str(raw))) for name, raw in message.raw_items()]


def _first(headers: list[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")


def _header(raw: str) -> str:
    """Decode a header: raw UTF-8 (RFC 6532) and encoded words (RFC 2047); return it as received where that fails."""
    text = raw[:HEADER_LIMIT].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    with suppress(Exception):  # an unknown charset, broken base64
        text = str(make_header(decode_header(text)))
    return " ".join(text.split())


def _part(message: Message, wanted: str) -> str:
    """Return the first part of a type that is not an attachment, decoded."""
    try:
        for part in _leaves(message):
            if part.get_content_type() == wanted and part.get_content_disposition() != "attachment":
                return _decode(part)
    except Exception:  # any error of the standard library for a malformed header
        return _UNREADABLE
    return ""


def _leaves(message: Message) -> Iterator[Message]:
    """Return the parts with content, in order; without recursion, since a mail may nest to any depth."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        payload = part.get_payload()
        if isinstance(payload, list):
            waiting.extend(inner for inner in reversed(payload) if isinstance(inner, Message))
        else:
            yield part


def _decode(part: Message) -> str:
    payload = part.get_payload(decode=True)
    content = payload[:PART_LIMIT] if isinstance(payload, bytes) else b""
    try:
        text = content.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):  # an unknown charset, or a codec that is not a charset
        text = content.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _visible(html: str) -> str:
    return unescape(_TAG.sub(" ", " ".join(_shown(html))))


def _shown(html: str) -> Iterator[str]:
    """Yield the pieces between hidden elements. Each end is sought once, so that this takes linear time."""
    place, unclosed = 0, set[str]()
    for begin in _HIDDEN.finditer(html):
        name = begin[1].lower()
        if begin.start() < place or name in unclosed:
            continue
        end = _END[name].search(html, begin.end())
        if end is None:
            unclosed.add(name)
        else:
            yield html[place : begin.start()]
            place = end.end()
    yield html[place:]


def _code(text: str) -> str | None:
    found = _CODE.search(text)
    return found[1] + found[2] if found else None
