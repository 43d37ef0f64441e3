"""The settings of the mail queue and of the relay."""

from datetime import timedelta
from email.headerregistry import Address
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator

from galaxy_contracts.formats import ENCODED_WORD, parse_address
from galaxy_kernel.api import Duration, Settings
from galaxy_mail.greeting import parse_greeting_name

PORTS = {"starttls": 587, "implicit": 465, "none": 25}
"""Submission (RFC 6409), submission over TLS (RFC 8314) and plain SMTP (RFC 5321)."""

_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".svc")


class SmtpSettings(Settings):
    """The mail relay."""

    prefix: ClassVar[str | None] = "BACKEND_SMTP_"

    host: str = "127.0.0.1"
    """Name or address of the relay."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the relay; by default 587 for `starttls`, 465 for `implicit`, 25 for `none`."""
    username: str | None = None
    """Name to log in with; without it there is no login."""
    password: SecretStr | None = None
    """Password to log in with."""
    from_: str = "Galaxy <galaxy@localhost>"
    """Sender of the mails, as `Name <address>`; the address is the envelope's sender too."""
    timeout: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(seconds=60))] = timedelta(seconds=20)
    """Time limit for sending one mail, connecting included; at most 60s."""
    helo_name: str | None = None
    """Name to greet the relay with: a fully qualified domain name, or a literal such as `[192.0.2.7]`; by default the
    host's name where it is fully qualified, else the literal of the connection's own address."""
    connections: Annotated[int, Field(ge=1, le=100)] = 4
    """Mails sent at once, each on a connection of its own that is kept for the next."""
    ca_file: FilePath | None = None
    """File of CA certificates (PEM) to trust in place of the system's."""
    tls_mode: Literal["starttls", "implicit", "none"] = "starttls"
    """`starttls` or `implicit`, both with the certificate verified; `none` for a relay on this network."""

    @field_validator("host")
    @classmethod
    def _host_is_a_name(cls, value: str) -> str:
        if not value.isprintable() or any(character.isspace() for character in value):
            raise ValueError("expected a host name or an IP address")
        return value

    @field_validator("from_")
    @classmethod
    def _from_is_an_address(cls, value: str) -> str:
        try:
            sender_of(value)
        except ValueError:
            raise ValueError("expected `Name <address>` or an address, in one line") from None
        return value

    @field_validator("helo_name")
    @classmethod
    def _helo_name_is_qualified(cls, value: str | None) -> str | None:
        try:
            return None if value is None else parse_greeting_name(value)
        except ValueError:
            raise ValueError("expected a fully qualified domain name, or an address literal like [192.0.2.7]") from None

    @field_validator("password")
    @classmethod
    def _password_has_a_name(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) != (info.data.get("username") is None):
            raise ValueError("expected together with BACKEND_SMTP_USERNAME, or neither of them")
        return value

    @field_validator("tls_mode")
    @classmethod
    def _plain_stays_at_home(cls, value: str, info: ValidationInfo) -> str:
        if value != "none":
            return value
        if info.data.get("username") is not None:
            raise ValueError("expected starttls or implicit: a password is not sent without TLS")
        if not is_private(info.data.get("host", "")):
            raise ValueError("expected starttls or implicit: none is for a relay on this machine or its own network")
        return value

    @property
    def sender(self) -> Address:
        """The sender of the mails."""
        return sender_of(self.from_)

    @property
    def relay_port(self) -> int:
        """The port, with the default filled in."""
        return PORTS[self.tls_mode] if self.port is None else self.port


class MailSettings(Settings):
    """The queue of outgoing mail."""

    worker_interval: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=2)
    """Longest wait between two checks for due mail; queueing a mail shortens it."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 8
    """Attempts before a mail that fails transiently is dead-lettered."""
    retention: Annotated[Duration, Field(ge=timedelta(hours=1))] = timedelta(days=90)
    """How long a mail is kept with its attempts, unless it is still to be delivered; at least 1h."""
    smtp: SmtpSettings
    """The relay."""


def sender_of(text: str) -> Address:
    """Read `Name <address>` or a bare address. Raise ValueError."""
    if not text.isprintable() or ENCODED_WORD in text:
        raise ValueError("must be one line of plain text")
    name, address = parseaddr(text)
    envelope = parse_address(address).envelope
    if not envelope.isascii():
        raise ValueError("must be an address in ASCII, which every relay accepts")
    local, _, domain = envelope.rpartition("@")
    return Address(display_name=name, username=local, domain=domain)


def is_private(host: str) -> bool:
    """Return whether a host is this machine or on a private network: by its address, or by a name that is not public.

    Names without a dot are those of containers and of the local network.
    """
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_PRIVATE_SUFFIXES)
    return address.is_loopback or address.is_private or address.is_link_local
