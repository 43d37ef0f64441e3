"""A private Postfix that accepts every mail and discards it: the relay of a measure.

Its configuration, queue and socket are its own, below a temporary folder; nothing of the system's Postfix is read or
changed. Postfix drops root in its daemons, so it must be started as root.
"""

import asyncio
import grp
import os
import pwd
import shutil
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.process import free_port, listening

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid")
_SOCKETS = ("private", "public", "saved", "trace")
_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file =
mail_owner = postfix
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
default_transport = discard:bench
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_peername_lookup = no
in_flow_delay = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/relay.pem
smtpd_tls_key_file = {folder}/relay.key
"""
"""See postconf(5). `in_flow_delay` would let every message wait a second while the queue manager lags behind."""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
"""


class PostfixMissing(Exception):  # noqa: N818 - says what is the matter, as its kin in the standard library do
    """Postfix cannot run here; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix."""

    port: int
    certificate: Path
    """Its own certificate, self-signed for 127.0.0.1, for clients to trust."""
    queue: Path

    async def idle(self) -> None:
        """Wait until it has discarded all that it accepted."""
        async with asyncio.timeout(120):
            while self._holds_mail():  # noqa: ASYNC110 - another process's folder tells of nothing
                await asyncio.sleep(0.1)

    def _holds_mail(self) -> bool:
        return any(file.is_file() for name in ("incoming", "active") for file in (self.queue / name).rglob("*"))


@asynccontextmanager
async def discarding() -> AsyncIterator[Postfix]:
    """Run one until the block ends. Raise PostfixMissing."""
    daemons = _daemons()
    with tempfile.TemporaryDirectory(prefix="galaxy-postfix-") as name:
        folder, port = Path(name), free_port()
        _lay_out(folder, port)
        process = await asyncio.create_subprocess_exec(
            *(str(daemons / "master"), "-d", "-c", str(folder)), stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
        try:
            await listening(process, port)
            yield Postfix(port, folder / "relay.pem", folder / "queue")
        finally:
            if process.returncode is None:
                process.terminate()  # it takes its own children with it
            await process.wait()


def _daemons() -> Path:
    postconf = shutil.which("postconf", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if postconf is None or shutil.which("smtp-source", path=str(Path(postconf).parent)) is None:
        raise PostfixMissing("Postfix is not installed: on Debian, apt-get install postfix")
    if os.geteuid() != 0:
        raise PostfixMissing("only root can start Postfix")
    for place in ("/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix"):
        if (Path(place) / "master").exists():
            return Path(place)
    raise PostfixMissing("Postfix is installed, but its daemons were not found")


def _lay_out(folder: Path, port: int) -> None:
    owner, dropping = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    folder.chmod(0o755)
    (folder / "main.cf").write_text(_MAIN.format(folder=folder), encoding="utf-8")
    (folder / "master.cf").write_text(_MASTER.format(port=port), encoding="utf-8")
    (folder / "queue").mkdir()
    for name in (*_QUEUES, *_SOCKETS):
        place = folder / "queue" / name
        place.mkdir(mode=0o710 if name == "public" else 0o700)
        os.chown(place, 0 if name == "pid" else owner, dropping if name in ("public", "maildrop") else -1)
    (folder / "queue" / "pid").chmod(0o755)
    (folder / "data").mkdir(mode=0o700)
    os.chown(folder / "data", owner, -1)
    _certify(folder)


def _certify(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # as Debian's own for a fresh Postfix
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8
    (folder / "relay.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    )
    (folder / "relay.key").chmod(0o600)
    (folder / "relay.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
