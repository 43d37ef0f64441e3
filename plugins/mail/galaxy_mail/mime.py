"""Composes a rendered mail into the bytes that every attempt sends (SPEC M-1)."""

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from galaxy_mail.domain import Rendered
from galaxy_mail.headers import Finished, mailbox, text

_ASCII = SMTP.clone(cte_type="7bit")
"""Passes every relay, with or without 8BITMIME: texts become quoted-printable or base64."""
_UNICODE = SMTPUTF8.clone(cte_type="7bit")
"""The same with the recipient in UTF-8, whose local part is not ASCII (RFC 6532)."""


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
    message = EmailMessage(policy=_ASCII if recipient.isascii() else _UNICODE)
    written = [
        mailbox("From", sender),
        Finished("To", recipient),
        text("Subject", rendered.subject),
        Finished("Date", format_datetime(date)),
        Finished("Message-ID", message_id),
        Finished("Auto-Submitted", "auto-generated"),  # RFC 3834: no vacation notices in return
        Finished("X-Auto-Response-Suppress", "All"),  # the same for Exchange, which reads only this
    ]
    if unsubscribe_url is not None:  # RFC 8058, section 3.1; unfolded, for its readers expect one line
        written.append(Finished("List-Unsubscribe", f"<{unsubscribe_url}>"))
        written.append(Finished("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    for header in written:
        message[header.name] = header
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    content = message.as_bytes()
    names = re.findall(rb"^([^\s:]+):", content.partition(b"\r\n\r\n")[0], re.MULTILINE)
    if len(names) != len(message):
        raise ValueError("headers: must be one line each")
    return content
