"""Seals mails that carry a secret, so that a dump of the database does not reveal it (SPEC M-8)."""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
"""Octets of a random nonce: enough for 2**32 mails under one key (NIST SP 800-38D, section 8.3)."""


class Sealer:
    """AES-GCM, with the delivery's id as associated data: a sealed mail cannot be moved to another row."""

    def __init__(self, key: bytes) -> None:
        """Use a key of 32 bytes."""
        self._cipher = AESGCM(key)

    def seal(self, delivery: UUID, content: bytes) -> bytes:
        """Return the nonce and the sealed content."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, delivery.bytes)

    def open(self, delivery: UUID, sealed: bytes) -> bytes:
        """Return the content. Raise ValueError when it was sealed under another key or for another delivery."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], delivery.bytes)
        except (InvalidTag, ValueError):  # ValueError: too short to have a nonce
            raise ValueError("sealed under another BACKEND_SECRET_KEY, or damaged") from None
