"""Signed links: which account mutes which kind by e-mail. No I/O."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

PATH = "/api/v1/public/notifications/unsubscribe"

_SIGNATURE = 16
"""Bytes of a signature: half of the hash, the least that RFC 2104 (section 5) advises."""
_ACCOUNT = 16


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """What a link mutes by e-mail."""

    account_id: UUID
    kind: str


class UnsubscribeLinks:
    """Makes and reads links.

    A link contains no address and does not expire: a mail may be read years later. It is valid as long as the key,
    which follows from `BACKEND_SECRET_KEY`, and it can do nothing but mute.
    """

    def __init__(self, key: bytes, public_url: str) -> None:
        """Set the API's public address, without a slash at its end; where it is empty, there are no links."""
        self._key, self._public_url = key, public_url

    def url(self, unsubscription: Unsubscription) -> str | None:
        """Return the link; None: the public address is not known."""
        return f"{self._public_url}{PATH}/{self.token(unsubscription)}" if self._public_url else None

    def token(self, unsubscription: Unsubscription) -> str:
        """Return the last segment of the link's path."""
        content = unsubscription.account_id.bytes + unsubscription.kind.encode()
        return base64.urlsafe_b64encode(self._sign(content) + content).decode().rstrip("=")

    def read(self, token: str) -> Unsubscription | None:
        """Return what a token mutes; None: it was not made with this key."""
        try:
            signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars="-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        signature, content = signed[:_SIGNATURE], signed[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(content)):
            return None
        return Unsubscription(UUID(bytes=content[:_ACCOUNT]), content[_ACCOUNT:].decode())

    def _sign(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, hashlib.sha256)[:_SIGNATURE]
