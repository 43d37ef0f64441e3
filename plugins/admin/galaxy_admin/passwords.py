"""Hashes passwords by Argon2id (RFC 9106), off the event loop and few at a time, since each needs 64 MiB."""

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from galaxy_admin.domain import AdminAccount
from galaxy_kernel.api import Problem

P = ParamSpec("P")
T = TypeVar("T")

OPERATORS_AT_ONCE, OPERATORS_PLACES = 2, 16
"""Hashes computed at once, of 64 MiB each, and callers that compute or wait, for networks that signed in lately."""
STRANGERS_AT_ONCE, STRANGERS_PLACES = 1, 64
"""The same for all others: at 50 ms a hash the last of them waits for some three seconds."""
PLACES_EACH = 8
"""Of the strangers' places those that one network may take."""


class Lane:
    """Places for callers whose passwords are hashed, few at once. What fills one lane does not hold up another."""

    def __init__(self, at_once: int, places: int, each: int) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._places, self._each = places, each
        self._taken: Counter[bytes] = Counter()

    @contextmanager
    def place(self, source: bytes = b"") -> Iterator[None]:
        """Reserve one of the places for a network, before anything is counted.

        Raise 503 `admin_busy` when all are taken: a flood of sign-ins gets no more than these.
        """
        if self._taken.total() >= self._places or self._taken[source] >= self._each:
            raise busy()
        self._taken[source] += 1
        try:
            yield
        finally:
            self._taken[source] -= 1
            if not self._taken[source]:
                del self._taken[source]

    async def compute(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run in a thread. A cancelled caller returns at once; the thread keeps its memory, and so its permit."""
        await self._room.acquire()
        running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    def _done(self, running: asyncio.Future[T]) -> None:
        self._room.release()
        if not running.cancelled():
            running.exception()  # retrieved here too, for the caller may be gone


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
        self.operators = Lane(OPERATORS_AT_ONCE, OPERATORS_PLACES, OPERATORS_PLACES)
        self.strangers = Lane(STRANGERS_AT_ONCE, STRANGERS_PLACES, PLACES_EACH)

    async def hash(self, password: str) -> str:
        """Hash a new password, for an operator."""
        return await self.operators.compute(self._hasher.hash, password)

    def remembers(self, account: AdminAccount, password: str) -> bool:
        """Return whether this password was right for this account a while ago."""
        remembered = self._remembered.get(account.id, b"")
        return hmac.compare_digest(remembered, self._trace(account, password))

    async def verify(self, account: AdminAccount | None, password: str, lane: Lane) -> bool:
        """Return whether the password is right, in the same time where there is no such account.

        Raise the library's error when it could not be computed: that says nothing about the password.
        """
        if account is None and not self._decoy:
            self._decoy = await lane.compute(self._hasher.hash, secrets.token_hex(16))
        stored = self._decoy if account is None else account.password_hash
        right = await lane.compute(self._matches, stored, password)
        if account is None or not right:
            return False
        self._remembered[account.id] = self._trace(account, password)
        return True

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:  # the only error of the library that means a wrong password
            return False

    def _trace(self, account: AdminAccount, password: str) -> bytes:
        message = account.password_hash.encode() + b"\0" + password.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256)


def busy() -> Problem:
    """Return the answer when a password cannot be checked just now."""
    detail = "No more passwords can be checked just now: try again in a moment."
    return Problem(503, "admin_busy", detail, headers={"Retry-After": "1"})
