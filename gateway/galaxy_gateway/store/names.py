"""Names of what the store keeps. They show neither an account nor an address to a reader of Redis."""

import hmac
from hashlib import sha256

_PREFIX = "galaxy:"


class Names:
    """Names that are hashed under a secret, so that addresses, of which there are few, cannot be found by trying."""

    def __init__(self, secret: bytes) -> None:
        """Use a secret that every gateway of the deployment has."""
        self._keyed = hmac.new(secret, b"galaxy gateway: names", sha256)

    def of(self, kind: str, *parts: str) -> str:
        """Return the name of the thing with these parts; their lengths count, so that no two lists look the same."""
        keyed = self._keyed.copy()
        for part in (kind, *parts):
            octets = part.encode("utf-8", "surrogateescape")
            keyed.update(b"%d:" % len(octets))
            keyed.update(octets)
        return f"{_PREFIX}{kind}:{keyed.hexdigest()[:40]}"
