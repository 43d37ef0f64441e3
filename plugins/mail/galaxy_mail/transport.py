"""Sends mails to the relay by SMTP (RFC 5321), on connections that are kept for the next mail.

aiosmtplib connects, greets, turns TLS on and logs in; `conversation` uses the connection for the mails. The meaning of
a reply depends on where in the conversation it comes, and on what the relay had seen by then:

| where | answer | meaning |
|---|---|---|
| connecting, greeting, EHLO, TLS, login | any failure | the relay is down for all mails: `RelayDown` |
| MAIL FROM | 5xx but 552 (too large), 421 | the same: it refuses our sender, or all clients |
| MAIL FROM, RCPT TO, DATA | 530, 534, 535, 538 | the same: it wants another login |
| MAIL FROM, RCPT TO, DATA | 4xx, or the connection is lost, or time is up | `Refusal`, transient |
| RCPT TO, DATA, MAIL FROM with 552 | 5xx | `Refusal`, permanent |

Commands that go in one write have one answer each, and the first that is a refusal counts. A connection that is lost
after the message was handed over is transient too: the relay may have accepted it, and the repetition has the same
Message-ID.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol, cast

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponseException, SMTPServerDisconnected

from galaxy_mail.conversation import CLOSING, MAIL, Conversation, Lost, Refused, Reply
from galaxy_mail.domain import scrub
from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.settings import SmtpSettings

MAILS_PER_CONNECTION = 100
"""Mails on one connection; then a new one is made, so that relays behind a balancer share the load."""
MAX_IDLE = 20.0
"""Seconds that an unused connection is kept: less than relays and firewalls allow."""
_LOGIN = (530, 534, 535, 538)
"""Authentication required, too weak, refused, needs encryption (RFC 4954, section 6)."""
_TOO_LARGE = 552
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


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

    def __init__(self, conversation: Conversation, now: float) -> None:
        self.conversation, self.used_at = conversation, now
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
        self._name = _own_name()
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
            connection.conversation.close()
            raise Refusal(f"{self._late}; the relay may have accepted it", permanent=False) from None
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
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._take()
                await connection.conversation.noop()
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
            raise Refusal("the relay accepts only ASCII addresses (no SMTPUTF8)", permanent=True)
        try:
            reply = await conversation.mail(self._sender, recipient.encode(), content)
        except (Lost, Refused) as error:
            if connection.kept and _gone(error):
                conversation.close()
                return None
            raise self._meaning(error, recipient) from None
        connection.mails += 1
        return Reply(reply.code, scrub(reply.text, recipient))

    def _meaning(self, error: Lost | Refused, recipient: str) -> Refusal | RelayDown:
        """Return the error for a reply, by the table above."""
        if isinstance(error, Lost):
            after = "; the relay may have accepted it" if error.handed_over else ""
            return Refusal(f"{error.stage}: {scrub(str(error), recipient)}{after}", permanent=False)
        code, said = error.reply.code, f"{error.reply.code} {scrub(error.reply.text, recipient)}"
        if error.stage == MAIL and (code == CLOSING or (code >= 500 and code != _TOO_LARGE)):
            return self._down(f"it refuses MAIL FROM: {said}; check BACKEND_SMTP_FROM and the login")
        if code in _LOGIN:
            return self._down(f"it requires another login: {said}; check BACKEND_SMTP_USERNAME")
        answered = code if code >= 400 else None  # below, its reply did not match the command
        return Refusal(f"{error.stage}: {said}", code=answered, permanent=code >= 500)

    async def _take(self) -> _Connection:
        """Return the connection used last, so that the others can be closed; a new one where none is usable."""
        now = self._monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable(now):
                return connection
            await connection.conversation.quit()
        return _Connection(await self._connect(), now)

    def _give_back(self, connection: _Connection) -> None:
        connection.used_at, connection.kept = self._monotonic(), True
        if connection.conversation.usable:
            self._idle.append(connection)

    async def _connect(self) -> Conversation:
        settings = self._settings
        client = SMTP(
            hostname=settings.host,
            port=settings.relay_port,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            local_hostname=self._name,
            timeout=None,
            use_tls=settings.tls_mode == "implicit",
            start_tls=settings.tls_mode == "starttls",
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
            return _taken_over(client)
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise self._down(_cause(error)) from None
        except BaseException:
            client.close()
            raise

    def _down(self, cause: str) -> RelayDown:
        return RelayDown(f"relay {self._settings.host}:{self._settings.relay_port} (BACKEND_SMTP_HOST): {cause}")


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """Make the context that verifies the relay's certificate and name. Reads files. Raise OSError for a bad one."""
    return ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)


def _taken_over(client: SMTP) -> Conversation:
    """Detach the connection from the client, which is not used any more. Raise SMTPException when it is gone."""
    if client.transport is None or not client.is_connected:
        raise SMTPServerDisconnected("the relay closed the connection")
    return Conversation(cast("asyncio.Transport", client.transport), client.esmtp_extensions)


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"


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
