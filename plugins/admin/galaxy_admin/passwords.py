"""Hashes passwords by Argon2id (RFC 9106), off the event loop and few at a time, since each needs 64 MiB."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from galaxy_admin.domain import AdminAccount
from galaxy_kernel.api import Problem

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 2
"""Hashes computed at once, of 64 MiB each."""
PLACES = 64
"""Callers that compute or wait, at most: at 50 ms a hash the last of them waits for some two seconds."""


class Passwords:
    """Hashes and verifies.

    A password that was right is remembered for the life of the process as a keyed hash, bound to the stored hash it
    matched, since HTTP Basic sends it with every request and Argon2 takes tens of milliseconds on purpose. A changed
    password changes the stored hash, which invalidates the remembered one.
    """

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._decoy = ""
        self._key = secrets.token_bytes(32)
        self._remembered: dict[UUID, bytes] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Reserve one of the places for hashing or verifying, before anything is counted.

        Raise 503 `admin_busy` when all are taken: a flood of sign-ins gets no more than these.
        """
        if self._taken >= PLACES:
            detail = "Too many passwords are being checked at once: try again in a moment."
            raise Problem(503, "admin_busy", detail, headers={"Retry-After": "1"})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        return await self._compute(self._hasher.hash, password)

    def remembers(self, account: AdminAccount, password: str) -> bool:
        """Return whether this password was right for this account a while ago."""
        remembered = self._remembered.get(account.id, b"")
        return hmac.compare_digest(remembered, self._trace(account, password))

    async def verify(self, account: AdminAccount | None, password: str) -> bool:
        """Return whether the password is right, in the same time where there is no such account."""
        if account is None and not self._decoy:
            self._decoy = await self.hash(secrets.token_hex(16))
        stored = self._decoy if account is None else account.password_hash
        right = await self._compute(self._matches, stored, password)
        if account is None or not right:
            return False
        self._remembered[account.id] = self._trace(account, password)
        return True

    async def _compute(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run in a thread. A cancelled caller returns at once; the thread keeps its memory, and so its permit."""
        await self._room.acquire()
        running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    def _done(self, running: asyncio.Future[T]) -> None:
        self._room.release()
        if not running.cancelled():
            running.exception()  # retrieved here too, for the caller may be gone

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def _trace(self, account: AdminAccount, password: str) -> bytes:
        message = account.password_hash.encode() + b"\0" + password.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256)
