"""Names of what the store keeps. They show neither an account nor an address to a reader of Redis."""

from hashlib import blake2b, sha256

_PREFIX = "galaxy:"
_DIGEST = 20
"""Octets of a hash: nobody finds two calls of one name by trying (2**80 tries)."""


class Names:
    """Names that are hashed under a secret, so that addresses, of which there are few, cannot be found by trying."""

    def __init__(self, secret: bytes) -> None:
        """Use a secret that every gateway of the deployment has."""
        self._key = sha256(b"galaxy gateway: names:" + secret).digest()

    def of(self, kind: str, *parts: str) -> str:
        """Return the name of the thing with these parts; their lengths count, so that no two lists look the same."""
        text = "".join(f"{len(part)}:{part}" for part in (kind, *parts))
        octets = text.encode("utf-8", "surrogatepass")
        return f"{_PREFIX}{kind}:{blake2b(octets, key=self._key, digest_size=_DIGEST).hexdigest()}"
