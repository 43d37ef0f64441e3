"""Hashing passwords: Argon2id (RFC 9106), off the event loop and few at a time, since each takes 64 MiB."""

import asyncio
import hashlib
import hmac
import secrets
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from galaxy_admin.domain import AdminAccount

_AT_ONCE = 2


class Passwords:
    """Hashes and verifies.

    A password that was right is remembered for the life of the process as a keyed hash, bound to the stored hash
    it matched, since HTTP Basic sends it with every request and Argon2 takes tens of milliseconds on purpose. A
    changed password changes the stored hash, which voids what is remembered.
    """

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._decoy = ""
        self._key = secrets.token_bytes(32)
        self._remembered: dict[UUID, bytes] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    def remembers(self, account: AdminAccount, password: str) -> bool:
        """Tell whether this password was right for this account a while ago."""
        remembered = self._remembered.get(account.id, b"")
        return hmac.compare_digest(remembered, self._trace(account, password))

    async def verify(self, account: AdminAccount | None, password: str) -> bool:
        """Tell whether the password is right. Takes as long where there is no such account."""
        if account is None and not self._decoy:
            self._decoy = await self.hash(secrets.token_hex(16))
        stored = self._decoy if account is None else account.password_hash
        async with self._room:
            right = await asyncio.to_thread(self._matches, stored, password)
        if account is None or not right:
            return False
        self._remembered[account.id] = self._trace(account, password)
        return True

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def _trace(self, account: AdminAccount, password: str) -> bytes:
        message = account.password_hash.encode() + b"\0" + password.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256)
