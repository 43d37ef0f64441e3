"""Handing mails to the relay by SMTP (RFC 5321), on connections that are kept for the next mail.

What an answer means depends on where in the conversation it comes, and on what the relay had seen by then:

| where | answer | meaning |
|---|---|---|
| connecting, greeting, EHLO, TLS, login | any failure | the relay is down for us all: `RelayDown` |
| MAIL FROM | 5xx but 552 (too large), 421 | the same: it refuses our sender, or everybody |
| MAIL FROM, RCPT TO, DATA | 530, 534, 535, 538 | the same: it wants another login |
| MAIL FROM, RCPT TO, DATA | 4xx, or the connection is lost, or time is up | `Refusal`, transient |
| RCPT TO, DATA, MAIL FROM with 552 | 5xx | `Refusal`, permanent |

A connection that is lost after the message was handed over is transient too: the relay may have taken it, and the
repetition has the same Message-ID.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponseException, SMTPStatus

from galaxy_mail.domain import scrub
from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.settings import SmtpSettings

MAILS_PER_CONNECTION = 100
"""Then a new one is made, so that a relay behind a balancer shares the load."""
MAX_IDLE = 20.0
"""Seconds that an unused connection is kept: less than relays and firewalls allow."""
_LOGIN = (530, 534, 535, 538)
"""Authentication required, too weak, refused, needs encryption (RFC 4954, section 6)."""
_CLOSING, _TOO_LARGE = 421, 552
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_GOODBYE = 1.0
"""Seconds for a QUIT."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The relay took a mail."""

    code: int
    text: str


class Transport(Protocol):
    """Whatever takes mails."""

    async def send(self, recipient: str, content: bytes) -> Reply:
        """Hand over one mail to an envelope's recipient. Raises RelayDown and Refusal."""

    async def check(self) -> None:
        """See whether the relay serves us. Raises RelayDown."""

    async def trim(self) -> None:
        """Let go of connections that nobody has used for a while."""

    async def close(self) -> None:
        """Let go of every connection."""


class _Connection:
    """One conversation with the relay."""

    def __init__(self, client: SMTP, now: float) -> None:
        self.client, self.used_at = client, now
        self.mails = 0
        self.dirty = False
        """Whether a mail was begun and not ended: the next one needs RSET first."""

    @property
    def reused(self) -> bool:
        return self.mails > 0

    def usable(self, now: float) -> bool:
        return self.client.is_connected and self.mails < MAILS_PER_CONNECTION and now - self.used_at < MAX_IDLE


class SmtpTransport:
    """Sends through the relay of the settings. Any number of `send` may run at once, each on its own connection."""

    def __init__(
        self, settings: SmtpSettings, tls: ssl.SSLContext, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Do no I/O; `tls` is `tls_context(settings)`, whose making reads files."""
        self._settings, self._tls, self._monotonic = settings, tls, monotonic
        self._timeout = settings.timeout.total_seconds()
        self._late = f"no answer within {self._timeout:g} s"
        self._sender = settings.sender.addr_spec.encode()
        self._name = _own_name()
        self._idle: list[_Connection] = []

    async def send(self, recipient: str, content: bytes) -> Reply:
        """Hand over one mail within the timeout, connecting included."""
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._take()
                reply = await self._deliver(connection, recipient, content)
        except TimeoutError:
            if connection is None:
                raise self._down(self._late) from None
            connection.client.close()
            raise Refusal(f"{self._late}; the relay may have taken it", permanent=False) from None
        except BaseException as error:
            if connection is not None and not isinstance(error, Refusal):
                connection.client.close()  # nobody knows what is still under way on it
            raise
        finally:
            if connection is not None:
                self._give_back(connection)
        return reply

    async def check(self) -> None:
        """Open a connection, or see that a kept one lives; it is kept for the next mail."""
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._take()
                await connection.client.noop(timeout=None)
        except (TimeoutError, SMTPException) as error:
            if connection is not None:
                connection.client.close()
            raise self._down(self._late if isinstance(error, TimeoutError) else _cause(error)) from None
        self._give_back(connection)

    async def close(self) -> None:
        """Say QUIT on every kept connection."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(connection.client) for connection in idle))

    async def trim(self) -> None:
        """Let go of connections that nobody has used for a while."""
        now = self._monotonic()
        spent = [connection for connection in self._idle if not connection.usable(now)]
        self._idle = [connection for connection in self._idle if connection.usable(now)]
        await asyncio.gather(*(_quit(connection.client) for connection in spent))

    async def _deliver(self, connection: _Connection, recipient: str, content: bytes) -> Reply:
        """Hold the conversation for one mail; begin it anew when a kept connection turns out to be gone."""
        utf8 = not recipient.isascii()
        if utf8 and not connection.client.supports_extension("smtputf8"):
            raise Refusal("the relay takes no address that is not ASCII (SMTPUTF8)", permanent=True)
        options = [b"SMTPUTF8"] if utf8 else []
        if connection.client.supports_extension("size"):
            options.append(b"SIZE=%d" % len(content))
        try:
            if connection.dirty:
                await connection.client.rset(timeout=None)
            connection.dirty = True
            await _command(connection.client, b"MAIL", b"FROM:<%s>" % self._sender, *options)
        except SMTPException as error:
            if connection.reused and _gone(error):
                connection.client.close()
                connection.client, connection.mails, connection.dirty = await self._connect(), 0, False
                return await self._deliver(connection, recipient, content)
            self._refused_sender(connection, error)
        return await self._hand_over(connection, recipient, content)

    async def _hand_over(self, connection: _Connection, recipient: str, content: bytes) -> Reply:
        stage = "RCPT TO"
        try:
            await _command(connection.client, b"RCPT", b"TO:<%s>" % recipient.encode())
            stage = "DATA"
            answer = await connection.client.data(content, timeout=None)
        except SMTPException as error:
            self._refused_mail(connection, error, stage, recipient)
        connection.dirty = False
        connection.mails += 1
        return Reply(answer.code, scrub(answer.message, recipient))

    def _refused_sender(self, connection: _Connection, error: SMTPException) -> NoReturn:
        if not isinstance(error, SMTPResponseException):
            raise Refusal(f"MAIL FROM: {_cause(error)}", permanent=False) from None
        if error.code == _CLOSING or (error.code >= 500 and error.code != _TOO_LARGE):
            connection.client.close()
            raise self._down(f"it refuses MAIL FROM: {_cause(error)}; check BACKEND_SMTP_FROM and the login") from None
        raise self._refusal(connection, error, "MAIL FROM") from None

    def _refused_mail(self, connection: _Connection, error: SMTPException, stage: str, recipient: str) -> NoReturn:
        if not isinstance(error, SMTPResponseException):
            after = "; the relay may have taken it" if stage == "DATA" else ""
            raise Refusal(f"{stage}: {_cause(error)}{after}", permanent=False) from None
        if error.code in _LOGIN:
            connection.client.close()
            raise self._down(f"it wants another login: {_cause(error)}; check BACKEND_SMTP_USERNAME") from None
        raise self._refusal(connection, error, stage, recipient) from None

    def _refusal(
        self, connection: _Connection, error: SMTPResponseException, stage: str, recipient: str = ""
    ) -> Refusal:
        if error.code == _CLOSING or error.code < 400:
            connection.client.close()  # it is closing, or no longer answers what it is asked
        detail = f"{stage}: {error.code} {scrub(error.message, recipient)}"
        code = error.code if error.code >= 400 else None  # below, it answered something else than what was asked
        return Refusal(detail, code=code, permanent=error.code >= 500)

    async def _take(self) -> _Connection:
        """Give the connection used last, so that the others can be let go; a new one where none is usable."""
        now = self._monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable(now):
                return connection
            await _quit(connection.client)
        return _Connection(await self._connect(), now)

    def _give_back(self, connection: _Connection) -> None:
        connection.used_at = self._monotonic()
        if connection.client.is_connected:
            self._idle.append(connection)

    async def _connect(self) -> SMTP:
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
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise self._down(_cause(error)) from None
        except BaseException:
            client.close()
            raise
        return client

    def _down(self, cause: str) -> RelayDown:
        return RelayDown(f"relay {self._settings.host}:{self._settings.relay_port} (BACKEND_SMTP_HOST): {cause}")


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """Make the context that verifies the relay's certificate and name. Reads files; raises OSError for a bad one."""
    return ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)


async def _command(client: SMTP, *words: bytes) -> None:
    """Send MAIL or RCPT, and raise SMTPResponseException unless it is taken.

    The client's own methods parse addresses anew, which costs more than sending; ours have been checked.
    """
    response = await client.execute_command(*words, timeout=None)
    if response.code not in (SMTPStatus.completed, SMTPStatus.will_forward):
        raise SMTPResponseException(response.code, response.message)


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"


def _gone(error: SMTPException) -> bool:
    """Tell whether a kept connection had ended before the relay saw anything of this mail."""
    return not isinstance(error, SMTPResponseException) or error.code == _CLOSING


def _cause(error: BaseException) -> str:
    if isinstance(error, SMTPAuthenticationError):
        hint = "check BACKEND_SMTP_USERNAME and BACKEND_SMTP_PASSWORD"
        return f"it refuses our login: {error.code} {scrub(error.message)}; {hint}"
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {scrub(error.message)}"
    cause = scrub(str(error)) or type(error).__name__
    return f"{cause}; check BACKEND_SMTP_CA_FILE" if "CERTIFICATE_VERIFY_FAILED" in cause else cause


async def _quit(client: SMTP) -> None:
    with contextlib.suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE):
            if client.is_connected:
                await client.quit(timeout=None)
    client.close()
