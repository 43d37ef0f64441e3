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
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            expected = "expected files of a certificate chain and its key (PEM)"
            raise ConfigurationError([Fault("GATEWAY_TLS_CERTIFICATE", f"{expected}: {error}")]) from None
        self.context = self._current
        """The listener's: each handshake goes on with the context of the newest files."""
        self.context.sni_callback = self._choose  # called whether or not the client names a server

    async def follow(self) -> None:
        """Load the files again whenever they have changed."""
        while True:
            await asyncio.sleep(LOOKED_AT)
            self.reload()

    def reload(self) -> bool:
        """Load the files if they have changed, and return whether they are in use now.

        A bad one is reported, and the former stays in use.
        """
        try:
            if self._changed() == self._loaded:
                return False
            self._load()
        except (OSError, ssl.SSLError) as error:
            _log.error("certificate_refused", file=str(self._certificate), error=str(error))
            return False
        _log.info("certificate_loaded", file=str(self._certificate))
        return True

    def _load(self) -> None:
        """Load into a context of its own: one that refuses a key has lost the certificate it had before."""
        changed = self._changed()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(
            self._certificate, self._key, password=""
        )  # without it a locked key asks at the terminal
        self._current, self._loaded = context, changed

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

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
