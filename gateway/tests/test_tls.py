"""The gateway's own certificate."""

import asyncio
import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateway_doubles import Start

from galaxy_chassis.errors import ConfigurationError
from galaxy_gateway.tls import ServerCertificate


def make(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def shown(address: str, trusted: Path) -> str:
    """Return the name in the certificate that a client is shown, which it trusts."""
    context = ssl.create_default_context(cafile=str(trusted))
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    return str(certificate["subject"][0][0][1])


async def test_a_new_certificate_is_shown_without_a_restart(start: Start, tmp_path: Path) -> None:
    """And while its files do not match each other, the former one is."""
    certificate, key = make(tmp_path, "former")
    front = await start(tls_certificate=str(certificate), tls_key=str(key))
    address, followed = front.gateway.address, front.gateway._certificate
    assert followed is not None
    assert await shown(address, certificate) == "former"
    former = tmp_path / "kept.pem"
    former.write_bytes(certificate.read_bytes())
    new_certificate, new_key = make(tmp_path, "new")
    certificate.write_bytes(new_certificate.read_bytes())  # its key is still the former's
    with pytest.raises(ssl.SSLError):
        followed._load()
    assert await shown(address, former) == "former"
    key.write_bytes(new_key.read_bytes())
    followed._load()
    assert await shown(address, certificate) == "new"


def test_files_that_cannot_be_used_refuse_the_start(tmp_path: Path) -> None:
    """The fault names the variable."""
    (tmp_path / "no.pem").write_text("not a certificate")
    with pytest.raises(ConfigurationError, match="GATEWAY_TLS_CERTIFICATE: expected files"):
        ServerCertificate(tmp_path / "no.pem", None)
