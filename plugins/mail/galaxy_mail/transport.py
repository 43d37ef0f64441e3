"""Sends mails to the relay by SMTP (RFC 5321), on connections that are kept for the next mail.

aiosmtplib connects, greets, turns TLS on and logs in; `conversation` uses the connection for the mails. What a failure
is about depends on what the relay had seen by then, and on its words:

| where | answer | meaning |
|---|---|---|
| connecting, greeting, EHLO, TLS, login | any failure | the relay is down for all mails: `RelayDown` |
| MAIL FROM | 4xx or 5xx but a mail too large | `Refusal` about us: it has not heard of the recipient yet |
| up to the 354 | 421, or the connection is lost, or time is up | `Refusal` about us: it has not seen the mail |
| anywhere | a refusal whose code or words name us (`replies`) | `Refusal` about us |
| anywhere | 5xx otherwise | `Refusal` of this mail, permanent |
| anywhere | 4xx otherwise; lost or late after the 354 | `Refusal` of this mail, transient |

`verdicts` decides what follows from a refusal about us. Commands that go in one write have one answer each, and the
first that is a refusal counts. A connection that is lost after the message was handed over is transient: the relay may
have accepted it, and the repetition has the same Message-ID.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPHeloError,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from galaxy_mail.conversation import CLOSING, MAIL, Conversation, Lost, Refused, Reply
from galaxy_mail.domain import scrub
from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.greeting import greeting_name
from galaxy_mail.replies import Identity, Subject, pattern_of, subject_of
from galaxy_mail.settings import SmtpSettings

MAILS_PER_CONNECTION = 100
"""Mails on one connection; then a new one is made, so that relays behind a balancer share the load."""
MAX_IDLE = 20.0
"""Seconds that an unused connection is kept: less than relays and firewalls allow."""
_TOO_LARGE = (552, 523)
_UNKNOWN_COMMAND = (500, 502)
"""The answers to EHLO of a relay that knows only HELO (RFC 5321, section 3.2)."""


class Transport(Protocol):
    """Sends mails."""

    async def send(self, recipient: str, content: bytes) -> Reply:
        """Send one mail to an envelope's recipient. Raise RelayDown and Refusal."""

    async def check(self) -> None:
        """Check that the relay accepts us. Raise RelayDown."""

    async def trim(self) -> None:
        """Close connections that were idle for a while."""

    async def close(self) -> None:
        """Close every connection."""


class _Connection:
    """A conversation with the relay, and its use."""

    def __init__(self, conversation: Conversation, names: Identity, now: float) -> None:
        self.conversation, self.names, self.used_at = conversation, names, now
        self.mails = 0
        self.kept = False
        """Whether it was kept from an earlier use and may have ended meanwhile."""

    def usable(self, now: float) -> bool:
        return self.conversation.usable and self.mails < MAILS_PER_CONNECTION and now - self.used_at < MAX_IDLE


class SmtpTransport:
    """Sends through the relay of the settings. Any number of `send` may run at once, each on its own connection."""

    def __init__(
        self, settings: SmtpSettings, tls: ssl.SSLContext, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Do no I/O; `tls` is `tls_context(settings)`, which reads files."""
        self._settings, self._tls, self._monotonic = settings, tls, monotonic
        self._timeout = settings.timeout.total_seconds()
        self._late = f"no answer within {self._timeout:g} s"
        self._sender = settings.sender.addr_spec.encode()
        self._idle: list[_Connection] = []

    async def send(self, recipient: str, content: bytes) -> Reply:
        """Send one mail within the timeout, connecting included."""
        connection: _Connection | None = None
        reply: Reply | None = None
        try:
            async with asyncio.timeout(self._timeout):
                while reply is None:
                    connection = None  # until another is there: the relay has nothing of this mail
                    connection = await self._take()
                    reply = await self._deliver(connection, recipient, content)
        except TimeoutError:
            if connection is None:
                raise self._down(self._late) from None
            conversation = connection.conversation
            late = Lost(conversation.stage, self._late, handed_over=conversation.handed_over)
            conversation.close()
            raise _meaning(late, recipient, connection) from None
        except BaseException as error:
            if connection is not None and not isinstance(error, Refusal):
                connection.conversation.close()  # its state is unknown
            raise
        finally:
            if connection is not None:
                self._give_back(connection)
        return reply

    async def check(self) -> None:
        """Open a connection, or check that a kept one works; it is kept for the next mail."""
        await self._try(Conversation.noop)

    async def check_sender(self) -> None:
        """Check that the relay accepts us, and our sender's address too. Raise RelayDown."""
        await self._try(lambda conversation: conversation.offer(self._sender))

    async def _try(self, ask: Callable[[Conversation], Awaitable[None]]) -> None:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._take()
                await ask(connection.conversation)
        except BaseException as error:
            if connection is not None:
                connection.conversation.close()
            if isinstance(error, TimeoutError):
                raise self._down(self._late) from None
            if isinstance(error, (Lost, Refused)):
                raise self._down(_cause(error)) from None
            raise
        self._give_back(connection)

    async def close(self) -> None:
        """Send QUIT on every kept connection."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.conversation.quit() for connection in idle))

    async def trim(self) -> None:
        """Close connections that were idle for a while."""
        now = self._monotonic()
        spent = [connection for connection in self._idle if not connection.usable(now)]
        self._idle = [connection for connection in self._idle if connection.usable(now)]
        await asyncio.gather(*(connection.conversation.quit() for connection in spent))

    async def _deliver(self, connection: _Connection, recipient: str, content: bytes) -> Reply | None:
        """Send one mail over a connection; return None when a kept connection turns out to be gone."""
        conversation = connection.conversation
        if not recipient.isascii() and "smtputf8" not in conversation.extensions:
            told = "the relay accepts only ASCII addresses (no SMTPUTF8)"
            raise Refusal(told, permanent=True, subject=Subject.RECIPIENT)
        try:
            reply = await conversation.mail(self._sender, recipient.encode(), content)
        except (Lost, Refused) as error:
            if connection.kept and _gone(error):
                conversation.close()
                return None
            raise _meaning(error, recipient, connection) from None
        connection.mails += 1
        return Reply(reply.code, scrub(reply.text, recipient))

    async def _take(self) -> _Connection:
        """Return the connection used last, so that the others can be closed; a new one where none is usable."""
        now = self._monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable(now):
                return connection
            await connection.conversation.quit()
        return await self._connect()

    def _give_back(self, connection: _Connection) -> None:
        connection.used_at, connection.kept = self._monotonic(), True
        if connection.conversation.usable:
            self._idle.append(connection)

    async def _connect(self) -> _Connection:
        settings = self._settings
        client = SMTP(
            hostname=settings.host,
            port=settings.relay_port,
            local_hostname=settings.helo_name or "[127.0.0.1]",  # until the connection's own address is known
            timeout=None,
            use_tls=settings.tls_mode == "implicit",
            start_tls=False,
            tls_context=self._tls,
        )
        try:
            await client.connect()
            address, *_ = client.get_transport_info("sockname") or ("",)
            client.local_hostname = settings.helo_name or greeting_name(socket.gethostname(), address)
            await self._greet(client)
            names = Identity(settings.sender.addr_spec, (client.local_hostname, address))
            return _Connection(_taken_over(client), names, self._monotonic())
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise self._down(_cause(error)) from None
        except BaseException:
            client.close()
            raise

    async def _greet(self, client: SMTP) -> None:
        """Greet, and turn TLS on and log in where that is set."""
        settings = self._settings
        if settings.tls_mode == "starttls":
            await client.ehlo()
            await client.starttls()
        try:
            await client.ehlo()
        except SMTPHeloError as error:
            plain = settings.tls_mode != "starttls" and settings.username is None
            if error.code not in _UNKNOWN_COMMAND or not plain:
                raise
            await client.helo()  # RFC 5321, section 2.2.1: the fallback for relays without extensions
        if settings.username is not None:
            await client.login(settings.username, settings.password.get_secret_value() if settings.password else "")

    def _down(self, cause: str) -> RelayDown:
        return relay_down(self._settings, cause)


def relay_down(settings: SmtpSettings, cause: str) -> RelayDown:
    """Return the error that names the relay, its variable and the cause."""
    return RelayDown(f"relay {settings.host}:{settings.relay_port} (BACKEND_SMTP_HOST): {cause}")


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """Make the context that verifies the relay's certificate and name. Reads files. Raise OSError for a bad one."""
    return ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)


def _taken_over(client: SMTP) -> Conversation:
    """Detach the connection from the client, which is not used any more. Raise SMTPException when it is gone."""
    if client.transport is None or not client.is_connected:
        raise SMTPServerDisconnected("the relay closed the connection")
    return Conversation(cast("asyncio.Transport", client.transport), client.esmtp_extensions)


def _meaning(error: Lost | Refused, recipient: str, connection: _Connection) -> Refusal:
    """Return the refusal for a reply, by the table above."""
    if isinstance(error, Lost):
        return _lost(error, recipient)
    code, text = error.reply.code, error.reply.text
    subject = subject_of(code, text, recipient, connection.names)
    before_recipient = error.stage == MAIL and code >= 400 and code not in _TOO_LARGE
    if before_recipient or (code == CLOSING and not connection.conversation.handed_over):
        subject = Subject.US
    return Refusal(
        f"{error.stage}: {code} {scrub(text, recipient)}",
        code=code if code >= 400 else None,  # below, its reply did not match the command
        permanent=code >= 500,
        subject=subject,
        pattern=pattern_of(code, text, recipient),
    )


def _lost(error: Lost, recipient: str) -> Refusal:
    """Return the refusal for an answer that did not come: about us, unless the relay had the whole mail."""
    said = f"{error.stage}: {scrub(str(error), recipient)}"
    if error.handed_over:
        return Refusal(f"{said}; the relay may have accepted it", permanent=False, pattern=said, handed_over=True)
    return Refusal(said, permanent=False, subject=Subject.US)


def _gone(error: Lost | Refused) -> bool:
    """Return whether a kept connection had ended before the relay saw anything of this mail."""
    return error.stage == MAIL and (isinstance(error, Lost) or error.reply.code == CLOSING)


def _cause(error: BaseException) -> str:
    if isinstance(error, SMTPAuthenticationError):
        hint = "check BACKEND_SMTP_USERNAME and BACKEND_SMTP_PASSWORD"
        return f"it refuses our login: {error.code} {scrub(error.message)}; {hint}"
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {scrub(error.message)}"
    cause = scrub(str(error)) or type(error).__name__
    return f"{cause}; check BACKEND_SMTP_CA_FILE" if "CERTIFICATE_VERIFY_FAILED" in cause else cause
