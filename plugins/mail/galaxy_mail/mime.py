"""Composes a rendered mail into the bytes that every attempt sends (SPEC M-1)."""

import re
from datetime import datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, Policy

from galaxy_mail.domain import Rendered


class _UnfoldedHeader(UnstructuredHeader, BaseHeader):
    """A header on one line: folding would turn a long URL into encoded words, which its readers do not decode."""

    def fold(self, *, policy: Policy) -> str:
        """Return the whole header as one line."""
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("List-Unsubscribe", _UnfoldedHeader)
_ASCII = SMTP.clone(cte_type="7bit", header_factory=_HEADERS)
"""Passes every relay, with or without 8BITMIME: texts become quoted-printable or base64."""
_UNICODE = SMTPUTF8.clone(cte_type="7bit", header_factory=_HEADERS)
"""The same with headers in UTF-8, for a recipient whose local part is not ASCII (RFC 6532)."""


def compose(
    rendered: Rendered,
    *,
    sender: Address,
    recipient: str,
    message_id: str,
    date: datetime,
    unsubscribe_url: str | None = None,
) -> bytes:
    """Return the message as SMTP transports it: CRLF at the end of lines, none longer than 998 octets.

    `recipient` is the form of the envelope, and `unsubscribe_url` has passed its check. Raise ValueError when a header
    contains another one: the last of several checks.
    """
    policy = _ASCII if recipient.isascii() else _UNICODE
    message = EmailMessage(policy=policy)
    local, _, domain = recipient.rpartition("@")
    message["From"] = sender
    message["To"] = Address(username=local, domain=domain)
    message["Subject"] = rendered.subject
    message["Date"] = date
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notices in return
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange, which reads only this
    if unsubscribe_url is not None:  # RFC 8058, section 3.1
        message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    content = message.as_bytes()
    written = re.findall(rb"^([^\s:]+):", content.partition(b"\r\n\r\n")[0], re.MULTILINE)
    if len(written) != len(message):
        raise ValueError("headers: must be one line each")
    return content
