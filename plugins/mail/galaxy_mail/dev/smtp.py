"""A mail server that accepts everything, or what it is told to, and delivers nothing."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from galaxy_mail.dev.store import MailStore

SIZE_LIMIT = 32 << 20
"""Bytes of the largest mail, as announced by EHLO (RFC 1870)."""

_ANYBODY = re.compile(r".*", re.DOTALL)

_log = logging.getLogger("galaxy_mail.dev")


class _Conversation(SMTP):
    """One connection."""

    line_length_limit = SIZE_LIMIT  # a mail is shown even if its lines are longer than RFC 5321 allows


class Pipelining:
    """Offers PIPELINING (RFC 2920): aiosmtpd supports it, but does not announce it."""

    async def handle_EHLO(  # noqa: N802  aiosmtpd's
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,
        envelope: Envelope,  # noqa: ARG002
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]


class _Handler(Pipelining):
    """The hooks of aiosmtpd."""

    def __init__(self, store: MailStore, recipients: re.Pattern[str]) -> None:
        self._store, self._recipients = store, recipients

    async def handle_RCPT(  # noqa: N802  aiosmtpd's
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        if not self._recipients.fullmatch(address):
            return "550 5.1.1 this sink was told to refuse this recipient"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 accepted"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002  aiosmtpd's
        content = envelope.original_content or b""
        try:
            await self._store.add(envelope.mail_from or "", envelope.rcpt_tos, content)
        except OSError as error:
            _log.warning("dev_mail_refused: %s", error.strerror)
            return f"452 4.3.1 the mail could not be kept: {error.strerror}"
        return "250 2.0.0 kept"


@asynccontextmanager
async def serving_smtp(
    store: MailStore, port: int, *, host: str = "127.0.0.1", recipients: re.Pattern[str] = _ANYBODY
) -> AsyncIterator[int]:
    """Accept mails to `recipients` in the running loop; return the port."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, which writes addresses at `info`
    loop, handler = asyncio.get_running_loop(), _Handler(store, recipients)
    conversations: set[SMTP] = set()

    def begin() -> SMTP:
        conversation = _Conversation(
            handler,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Galaxy mail sink",
            loop=loop,
        )
        conversations.difference_update({each for each in conversations if each.transport is None})
        conversations.add(conversation)
        return conversation

    server = await loop.create_server(begin, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for conversation in conversations:
            if conversation.transport is not None:
                cast("asyncio.Transport", conversation.transport).abort()
        await server.wait_closed()
