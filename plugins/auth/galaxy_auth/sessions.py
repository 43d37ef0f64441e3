"""Device sessions: authentication from memory, revocation, and the times of last use.

What a crash leaves behind. Starting and ending sessions are single transactions of row, cache feed and fact: a process
that dies before the COMMIT has done nothing, one that dies after it everything, for the change in the feed and the fact
are rows. The times of last use are gathered in memory and written in batches: a crash loses at most one interval of the
worker plus the precision, so a session that was about to expire unused may end that much too early.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement

from galaxy_auth import queries
from galaxy_auth.domain import TOKEN_LENGTH, Session, new_token, token_hash
from galaxy_auth.settings import AuthSettings
from galaxy_contracts.access import UserIdentity
from galaxy_contracts.accounts import ACCOUNTS, Accounts
from galaxy_contracts.geo import COUNTRIES, Countries
from galaxy_contracts.sessions import SessionsRevoked
from galaxy_kernel.api import Cache, Connection, Context, Paging, found_work, new_id, not_found

TOUCH_PRECISION = timedelta(minutes=5)
"""A use is recorded only when the last recorded one is older than this: most requests write nothing."""
BATCH = 1000
"""Most sessions written or deleted in one statement."""
PRUNE_GRACE = timedelta(hours=1)
"""How much longer a row that expired unused is kept: another replica may know of an unwritten use."""


@dataclass(frozen=True, slots=True)
class _Authentication:
    """The services for `authenticate`, looked up once, since requests are many."""

    accounts: Accounts
    countries: Countries | None
    now: Callable[[], datetime]
    idle: timedelta
    precision: timedelta


class SessionService:
    """Implements the contracts `UserAuthenticator` and `Sessions`, and the use cases of the routes and workers."""

    def __init__(self, context: Context[AuthSettings], cache: Cache[bytes, Session]) -> None:
        self._context, self._cache = context, cache
        self._seen: dict[UUID, datetime] = {}

    @cached_property
    def _authentication(self) -> _Authentication:
        context, idle = self._context, self._context.settings.session_idle_ttl
        return _Authentication(
            accounts=context.require(ACCOUNTS),
            countries=context.find(COUNTRIES),
            now=context.clock.now,
            idle=idle,
            precision=min(TOUCH_PRECISION, idle / 10),
        )

    async def close(self) -> None:
        """Write the unwritten uses, as far as the database accepts them. Called when the plugin stops."""
        try:
            while await self.touch():
                pass
        except Exception as error:  # only a few minutes of precision are lost, which is not a reason to fail the stop
            self._context.log.warning("last_uses_lost", sessions=len(self._seen), error=type(error).__name__)

    def authenticate(self, token: str, *, client_address: str) -> UserIdentity | None:
        """Return the identity behind a request's token, or None, and count the country it came from."""
        identity = self.identify(token)
        countries = self._authentication.countries
        if identity is not None and countries is not None:
            countries.count(identity.account_id, client_address)
        return identity

    def identify(self, token: str) -> UserIdentity | None:
        """Return the identity behind a token, or None: from memory, recording that the session is in use.

        The look-up is by the token's hash, so its timing reveals nothing about existing tokens.
        """
        if len(token) != TOKEN_LENGTH or not token.isascii():
            return None
        session = self._cache.get(token_hash(token))
        if session is None:
            return None
        by = self._authentication
        now = by.now()
        last_seen = session.last_seen_at
        if now - last_seen >= by.precision:
            last_seen = self._last_seen(session)  # it may have been used since, which is not written yet
        if now >= session.expires_at or now - last_seen >= by.idle:
            return None
        account = by.accounts.get(session.account_id)
        if account is None or not account.active:
            return None
        if now - last_seen >= by.precision:
            self._seen[session.id] = now
        return UserIdentity(session.account_id, session.id, session.expires_at)

    async def start(self, connection: Connection, account_id: UUID, device_name: str) -> tuple[Session, str]:
        """Start a session with the caller's transaction, and return it with its token, which is not stored."""
        now = self._context.clock.now()
        token = new_token(self._context.random)
        ends = now + self._context.settings.session_ttl
        session = Session(new_id(), account_id, token_hash(token), device_name, now, now, ends)
        await queries.insert_session(connection, session)
        await self._cache.put(connection, session)
        return session, token

    async def revoke_all(self, connection: Connection, account_id: UUID) -> int:
        """End every session of the account with the caller's transaction; return how many there were."""
        return await self._revoke(connection, account_id, queries.are_of(account_id))

    async def revoke(self, account_id: UUID, session_id: UUID) -> None:
        """End one of the player's own sessions."""
        async with self._context.database.transaction() as connection:
            if not await self._revoke(connection, account_id, queries.is_one(account_id, session_id)):
                raise not_found("session")

    async def revoke_others(self, account_id: UUID, current: UUID) -> int:
        """End all of the player's sessions but the one in use; return how many there were."""
        async with self._context.database.transaction() as connection:
            return await self._revoke(connection, account_id, queries.are_others(account_id, current))

    async def list_sessions(self, account_id: UUID, paging: Paging) -> tuple[Sequence[Session], int]:
        """Return one page of the player's sessions that have not expired, the newest first, and the number of all."""
        now, idle = self._context.clock.now(), self._context.settings.session_idle_ttl
        async with self._context.database.reading() as connection:
            sessions, total = await queries.list_sessions(connection, account_id, paging, now=now, idle=idle)
        return [msgspec.structs.replace(each, last_seen_at=self._last_seen(each)) for each in sessions], total

    async def touch(self) -> bool:
        """Write when sessions were last used; return whether there is more to write."""
        seen = list(islice(self._seen.items(), BATCH))
        found_work(seen)
        if not seen:
            return False
        async with self._context.database.transaction() as connection:
            await self._cache.put_many(connection, await queries.touch_sessions(connection, seen))
        for session_id, at in seen:
            if self._seen.get(session_id) == at:
                del self._seen[session_id]
        return len(seen) == BATCH

    async def prune(self) -> bool:
        """Delete expired sessions; return whether there is more to delete."""
        run_out = queries.have_run_out(self._context.clock.now(), self._context.settings.session_idle_ttl, PRUNE_GRACE)
        async with self._context.database.transaction() as connection:
            ended = await queries.delete_sessions(connection, run_out, limit=BATCH)
            await self._cache.drop_many(connection, [session.token_hash for session in ended])
        found_work(ended)
        return len(ended) == BATCH

    def _last_seen(self, session: Session) -> datetime:
        noted = self._seen.get(session.id)
        return session.last_seen_at if noted is None or noted < session.last_seen_at else noted

    async def _revoke(self, connection: Connection, account_id: UUID, which: ColumnElement[bool]) -> int:
        ended = await queries.delete_sessions(connection, which)
        if ended:
            await self._cache.drop_many(connection, [session.token_hash for session in ended])
            fact = SessionsRevoked(account_id, tuple(session.id for session in ended))
            await self._context.facts.record(connection, fact)
        return len(ended)
