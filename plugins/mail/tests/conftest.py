"""A mail plugin's parts on a real database, a relay that follows a script, and one that accepts everything."""

import asyncio
import random
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiosmtpd.smtp
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.metrics import Meter, NoOpMeter
from sqlalchemy import select, text

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.mail import MailKind, Message
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_mail.dev.smtp import Pipelining
from galaxy_mail.queue import DELIVER
from galaxy_mail.sealing import Sealer
from galaxy_mail.service import Deliveries, MailOutbox
from galaxy_mail.settings import MailSettings, SmtpSettings
from galaxy_mail.tables import mail_attempts, mail_deliveries, metadata
from galaxy_mail.transport import SmtpTransport, Transport, tls_context
from galaxy_mail.workers import Deliverer

KEY = bytes(range(32))

TEMPLATES = {
    "welcome.en.txt": "Subject: Welcome, {{ name }}\n\nHello {{ name }},\nyour turn is ready.\n",
    "welcome.en.html": '{% extends "layout.html" %}{% block content %}<p>Hello {{ name }}</p>{% endblock %}',
    "welcome.de.txt": "Subject: Willkommen, {{ name }}\n\nHallo {{ name }}, schöne Grüße.\n",
    "welcome.de.html": '{% extends "layout.html" %}{% block content %}<p>Hallo {{ name }}</p>{% endblock %}',
    "code.en.txt": "Subject: Your sign-in code\n\nYour code is {{ code }}.\n",
    "code.en.html": '{% extends "layout.html" %}{% block content %}<p class="code">{{ code }}</p>{% endblock %}',
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the templates' folder of an importable package `mail_owner`, whose templates are those above."""
    folder = tmp_path / "mail_owner" / "templates"
    folder.mkdir(parents=True)
    (tmp_path / "mail_owner" / "__init__.py").touch()
    for name, source in TEMPLATES.items():
        (folder / name).write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mail_owner", raising=False)
    yield folder


@dataclass
class Rig:
    """The parts of the plugin, with a manual clock."""

    database: Database
    settings: MailSettings
    clock: ManualClock = field(default_factory=ManualClock)
    woken: int = 0

    def __post_init__(self) -> None:
        self.sealer = Sealer(KEY)
        self.log = structlog.get_logger()
        context: Any = SimpleNamespace(
            settings=self.settings,
            database=self.database,
            wakeups=self,
            clock=self.clock,
            random=random.Random(1),
            log=self.log,
        )
        self.outbox, self.deliveries = MailOutbox(context, self.sealer), Deliveries(context)
        self.queue = self.deliveries.queue

    def after_commit(self, _connection: Connection, name: str) -> None:
        """Count the plugin's calls of the kernel's wake-ups."""
        assert name == DELIVER
        self.woken += 1

    def register(self) -> None:
        self.outbox.register(MailKind("test.welcome", "mail_owner"))
        self.outbox.register(MailKind("test.code", "mail_owner", secret=True))

    def deliverer(self, transport: Transport, meter: Meter | None = None) -> Deliverer:
        return Deliverer(
            self.database,
            self.queue,
            transport,
            self.sealer,
            self.settings,
            clock=self.clock,
            random=random.Random(1),
            log=self.log,
            meter=meter or NoOpMeter("test"),
        )

    async def enqueue(self, recipient: str = "ada@example.test", **changed: Any) -> UUID:
        message: dict[str, Any] = {
            "kind": "test.welcome",
            "recipient": recipient,
            "language": "en",
            "parameters": {"name": "Ada"},
        }
        async with self.database.transaction() as connection:
            return await self.outbox.enqueue(connection, Message(**{**message, **changed}))

    async def enqueue_code(self, **changed: Any) -> UUID:
        expires = datetime.now(UTC) + timedelta(minutes=5)
        code: dict[str, Any] = {"kind": "test.code", "parameters": {"code": "40817263"}, "expires_at": expires}
        return await self.enqueue(**{**code, **changed})

    async def row(self, delivery: UUID) -> Any:
        async with self.database.reading() as connection:
            return (await connection.execute(select(mail_deliveries).where(mail_deliveries.c.id == delivery))).one()

    async def attempts(self, delivery: UUID) -> list[tuple[int, str, int | None]]:
        a = mail_attempts.c
        query = select(a.attempt_no, a.outcome, a.smtp_code).where(a.delivery_id == delivery).order_by(a.attempt_no)
        async with self.database.reading() as connection:
            return [(row.attempt_no, row.outcome, row.smtp_code) for row in await connection.execute(query)]

    async def pass_time(self, **length: float) -> None:
        """Let time pass for the database as for the clock."""
        step = timedelta(**length)
        columns = ("next_attempt_at", "claimed_at", "expires_at", "finished_at", "created_at")
        moved = ", ".join(f"{column} = {column} - :step" for column in columns)
        async with self.database.transaction() as connection:
            await connection.execute(text(f"UPDATE mail_deliveries SET {moved}").bindparams(step=step))
        self.clock.advance(step)


@pytest.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    """Return a database with the plugin's tables."""
    database = Database(make_engine(empty_database, pool_size=20), "backend")
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE SCHEMA backend")
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
async def rig(database: Database, package: Path) -> Rig:
    """Return the plugin's parts with the kinds `test.welcome` and `test.code` (secret)."""
    rig = Rig(database, MailSettings(smtp=SmtpSettings(tls_mode="none", from_="Galaxy <galaxy@example.test>")))
    rig.register()
    return rig


HANG = "hang"
"""Instead of a reply: no answer."""
DROP = "drop"
"""Instead of a reply: cut the connection."""
DROP_AFTER_DOT = "drop after dot"
"""Instead of the last reply: keep the message and cut the connection."""


class ScriptedRelay:
    """A relay that answers by a script: for each verb a reply for always, or a list of replies used up in turn.

    The verbs are those of SMTP, `GREETING`, and `.` for the end of a message. Commands after a refused MAIL or RCPT are
    refused with 503 unless the script says otherwise.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> None:
        self.tls, self.implicit = tls, implicit
        self.script: dict[str, str | list[str]] = {}
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.connections = self.port = 0
        self.extensions = ["SIZE 1000000", "SMTPUTF8"]
        self._readers: list[asyncio.StreamReader] = []
        self.writers: set[asyncio.StreamWriter] = set()
        """The connections that the other side has not closed."""
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, limit=1 << 20, ssl=self.tls if self.implicit else None
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def verbs(self) -> list[str]:
        return [command.split(" ")[0] for command in self.commands]

    def say_to_all(self, reply: str) -> None:
        """Send an unexpected reply."""
        for writer in self.writers:
            writer.write(reply.encode() + b"\r\n")

    def deserted(self) -> bool:
        """Whether the other side has closed every connection, once its data is read."""
        return all(reader.at_eof() for reader in self._readers)

    def cut_all(self) -> None:
        """End every connection, as a relay that restarts does."""
        for writer in self.writers:
            writer.close()

    def _reply(self, verb: str, usual: str) -> str:
        scripted = self.script.get(verb, usual)
        if isinstance(scripted, list):
            return scripted.pop(0) if scripted else usual
        return scripted

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self._readers.append(reader)
        self.writers.add(writer)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._say(writer, self._reply("GREETING", "220 relay.test ESMTP")):
            return
        extensions = self.extensions + (["STARTTLS"] if self.tls and not self.implicit else [])
        hello = "\r\n".join([*(f"250-{each}" for each in ("relay.test", *extensions)), "250 HELP"])
        usual = {"EHLO": hello, "DATA": "354 go on", "QUIT": "221 bye", "STARTTLS": "220 go on", "AUTH": "235 ok"}
        refused = False
        while line := await reader.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            expected = "503 5.5.1 not now" if refused and verb in ("RCPT", "DATA") else usual.get(verb, "250 ok")
            if not await self._say(writer, reply := self._reply(verb, expected)) or verb == "QUIT":
                return
            if verb in ("MAIL", "RCPT"):
                refused = not reply.startswith("2")
            if verb == "STARTTLS" and self.tls is not None and reply.startswith("220"):
                await writer.start_tls(self.tls)
            if verb == "DATA" and reply.startswith("354"):
                message = await self._message(reader)
                final = self._reply(".", "250 2.0.0 queued")
                if final in (DROP_AFTER_DOT,) or final.startswith("250"):
                    self.messages.append(message)
                if not await self._say(writer, final):
                    return

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionResetError
            lines.append(line)
        return b"".join(lines)

    async def _say(self, writer: asyncio.StreamWriter, reply: str) -> bool:
        if reply == HANG:
            await asyncio.Event().wait()
        if reply in (DROP, DROP_AFTER_DOT):
            return False
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()
        return not reply.startswith("421")


@dataclass
class Sink(Pipelining):
    """A real SMTP server that accepts everything, commands in one write included."""

    port: int = 0
    received: list[tuple[str, bytes]] = field(default_factory=list)
    """Recipient and message."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.received.append((envelope.rcpt_tos[0], envelope.content))
        return "250 2.0.0 queued"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """Return a server of aiosmtpd on a free port of the loopback."""
    sink, loop = Sink(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: aiosmtpd.smtp.SMTP(sink, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    yield sink
    server.close()
    await server.wait_closed()


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    """Return a relay that follows a script; `relay.port` is where it listens."""
    relay = ScriptedRelay()
    async with relay.listening() as relay.port:
        yield relay


@pytest.fixture
def new_relay() -> Any:
    """Return a function that makes a relay with TLS, as an async context manager."""

    @asynccontextmanager
    async def make(tls: ssl.SSLContext, *, implicit: bool = False) -> AsyncIterator[ScriptedRelay]:
        relay = ScriptedRelay(tls, implicit=implicit)
        async with relay.listening() as relay.port:
            yield relay

    return make


@pytest.fixture
def smtp() -> Any:
    """Return a function that makes settings for a relay at a port of the loopback."""

    def make(port: int, **changed: Any) -> SmtpSettings:
        options = {"port": port, "tls_mode": "none", "from_": "Galaxy <galaxy@example.test>", **changed}
        return SmtpSettings.model_validate(options)

    return make


@pytest.fixture
async def transport_to(smtp: Any) -> AsyncIterator[Any]:
    """Return a function that makes a transport to a port of the loopback, closed at the end."""
    made: list[SmtpTransport] = []

    def make(port: int, *, monotonic: Any = lambda: 0.0, **changed: Any) -> SmtpTransport:
        settings = smtp(port, **changed)
        made.append(SmtpTransport(settings, tls_context(settings), monotonic=monotonic))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for `127.0.0.1` and `localhost`."""

    server: ssl.SSLContext
    ca_file: Path


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Return a certificate that is trusted only by its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return Certificate(context, certificate)
