"""Wrong passwords: counted by user name and client network, whether there is such a name or not (SPEC D-1).

A network that signed in to the name lately has a count and a place of its own, so that nobody elsewhere locks an
operator out. Names and networks are stored as keyed hashes.

What happens if the process dies between any two lines: `begin` commits the attempt before the password is checked, so
killing the process gains no attempts; `failed` and `succeeded` are single transactions after it.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from galaxy_admin import queries
from galaxy_admin.audit import UNKNOWN_NAME
from galaxy_admin.domain import AdminAccount, wait_of
from galaxy_contracts.networks import NETWORK, SITE, network_of
from galaxy_kernel.api import Connection, Context, Problem, found_work, request_id

FAILED, LOCKED = "admin.sign_in_failed", "admin.sign_in_locked"
"""Actions in the audit log."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who tries, as keys: never the name or the address."""

    network: bytes
    """The client's network, whatever the name."""
    attempts: bytes
    """The name and the network by which attempts are counted."""
    mark: bytes
    """The name and the site, which is known once it has signed in."""
    known: bool


class Lockout:
    """Counts attempts, locks, and knows networks."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context

    async def source(self, name: str, account: AdminAccount | None, client_address: str) -> Source:
        """Return who tries to sign in to a folded name. A new password begins new counts, so a reset unlocks."""
        network, site = network_of(client_address, NETWORK), network_of(client_address, SITE)
        mark = self._key("mark", name, site)
        async with self._context.database.reading() as connection:
            known = await queries.is_known(connection, mark, self._context.clock.now())
        password = "" if account is None else account.password_hash
        attempts = self._key("own", name, site, password) if known else self._key("attempts", name, network, password)
        return Source(self._key("network", network), attempts, mark, known)

    async def begin(self, source: Source, account: AdminAccount | None) -> int:
        """Count an attempt and return how many there were in a row. Raise 429 `admin_locked`."""
        now = self._context.clock.now()
        async with self._context.database.transaction() as connection:
            failures = await queries.count_attempt(connection, source.attempts, now)
            if failures is not None:
                return failures
            wait = wait_of(*await queries.find_attempts(connection, source.attempts), now)
            await self._record(connection, LOCKED, account, 429)
        self._context.log.warning("admin_locked", admin_id=_id(account), known_network=source.known)
        raise _locked(wait.total_seconds())

    async def failed(self, source: Source, account: AdminAccount | None, failures: int) -> None:
        """Record that the password was wrong."""
        async with self._context.database.transaction() as connection:
            await self._record(connection, FAILED, account, 401)
        self._context.log.warning(
            "admin_sign_in_failed", admin_id=_id(account), failures=failures, known_network=source.known
        )

    async def succeeded(self, source: Source) -> None:
        """Forget the attempts, and know the network from now on."""
        async with self._context.database.transaction() as connection:
            await queries.forget_attempts(connection, source.attempts)
            await queries.know_network(connection, source.mark, self._context.clock.now())

    async def give_back(self, source: Source) -> None:
        """Uncount an attempt whose password could not be checked."""
        async with self._context.database.transaction() as connection:
            await queries.uncount_attempt(connection, source.attempts)

    async def prune(self) -> bool:
        """Delete what locks nobody and knows nobody any longer."""
        async with self._context.database.transaction() as connection:
            found_work(await queries.prune_attempts(connection, self._context.clock.now()))
        return False

    async def _record(self, connection: Connection, action: str, account: AdminAccount | None, status: int) -> None:
        await queries.fold_audit(
            connection,
            at=self._context.clock.now(),
            admin_id=None if account is None else account.id,
            username=UNKNOWN_NAME if account is None else account.username,
            action=action,
            outcome="refused",
            status=status,
            request_id=request_id(),
        )

    def _key(self, *parts: str) -> bytes:
        return hmac.digest(
            self._context.derive_key("lockout"), "\0".join(parts).encode("utf-8", "replace"), hashlib.sha256
        )


def _id(account: AdminAccount | None) -> str | None:
    return None if account is None else str(account.id)


def _locked(wait: float) -> Problem:
    seconds = max(1, round(wait + 0.5))
    return Problem(
        429,
        "admin_locked",
        f"Too many wrong passwords: try again in {seconds} s, or run `backend admin reset-password`.",
        headers={"Retry-After": str(seconds)},
    )
