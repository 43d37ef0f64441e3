"""Certificates by file: the gateway's own, and the authorities of its backends."""

import asyncio
import ssl
from pathlib import Path

from galaxy_chassis.errors import ConfigurationError, Fault
from galaxy_chassis.logs import get_logger

LOOKED_AT = 30.0
"""Seconds between two looks at the certificate's file."""

_log = get_logger("galaxy_gateway.tls", plugin="gateway")


class ServerCertificate:
    """The certificate that clients are shown, as its file has it: new connections get a new one."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Raise ConfigurationError for files that cannot be used."""
        self._certificate, self._key = certificate, key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            expected = "expected files of a certificate chain and its key (PEM)"
            raise ConfigurationError([Fault("GATEWAY_TLS_CERTIFICATE", f"{expected}: {error}")]) from None

    async def follow(self) -> None:
        """Load the files again whenever they have changed; a bad one is reported, and the former stays in use."""
        while True:
            await asyncio.sleep(LOOKED_AT)
            try:
                if self._changed() != self._loaded:
                    self._load()
                    _log.info("certificate_loaded", file=str(self._certificate))
            except (OSError, ssl.SSLError) as error:
                _log.error("certificate_refused", file=str(self._certificate), error=str(error))

    def _load(self) -> None:
        changed = self._changed()
        # a pair that does not match would leave the context without a key: it is tried out elsewhere first
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
        self.context.load_cert_chain(self._certificate, self._key)
        self._loaded = changed

    def _changed(self) -> tuple[float, ...]:
        return tuple(path.stat().st_mtime for path in (self._certificate, self._key) if path is not None)


def certificate(path: Path | None, key: Path | None) -> ServerCertificate | None:
    """Return the gateway's certificate, None where it speaks plain HTTP. Raise ConfigurationError."""
    if path is None:
        if key is not None:
            raise ConfigurationError([Fault("GATEWAY_TLS_KEY", "is set, and GATEWAY_TLS_CERTIFICATE is not: set both")])
        return None
    return ServerCertificate(path, key)


def authorities(path: Path | None, variable: str) -> ssl.SSLContext | None:
    """Return a context that trusts what a file lists; None for the system's authorities. Raise ConfigurationError."""
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        fault = Fault(variable, f"expected a readable file of certificates (PEM): {error}")
        raise ConfigurationError([fault]) from None
