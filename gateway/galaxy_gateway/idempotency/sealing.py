"""Seals answers: they hold what players do, and lie in Redis for a day."""

import hmac
import os
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
"""Octets of a random nonce: enough for 2**32 answers under one key (NIST SP 800-38D, section 8.3)."""


class Sealer:
    """AES-GCM, with the record's name as associated data: an answer moved to another account's record does not open."""

    def __init__(self, secret: bytes) -> None:
        """Use a secret that every gateway of the deployment has."""
        self._cipher = AESGCM(hmac.digest(secret, b"galaxy gateway: answers", sha256))

    def seal(self, name: str, content: bytes) -> bytes:
        """Return the nonce and the sealed content."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the content. Raise ValueError when it was sealed under another secret or another name."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except (InvalidTag, ValueError):  # ValueError: too short to have a nonce
            raise ValueError("sealed under another secret or for another call, or damaged") from None
