"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_auth import events, routes, workers
from galaxy_auth.dev.examples import SIGN_IN
from galaxy_auth.domain import Session
from galaxy_auth.notices import NEW_DEVICE
from galaxy_auth.service import SIGN_IN_CODE, SignInService
from galaxy_auth.sessions import SessionService
from galaxy_auth.settings import AuthSettings
from galaxy_auth.tables import device_sessions, metadata
from galaxy_contracts.access import USER_AUTHENTICATOR
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.sessions import SESSIONS
from galaxy_kernel.api import Cache, Context, Manifest, Migrations, Offer, Route, Subscriptions, Worker


class AuthPlugin:
    """Sign-in by e-mail code, and device sessions."""

    manifest = Manifest(
        name="auth",
        summary="Sign-in by e-mail code, and device sessions.",
        settings=AuthSettings,
        provides=(USER_AUTHENTICATOR, SESSIONS),
        requires=(ACCOUNTS, OUTBOX),
        uses=(NOTIFICATIONS, COUNTRIES),
        examples=SIGN_IN,
    )

    def __init__(self, context: Context[AuthSettings]) -> None:
        self._context = context
        self._cache = Cache(name="auth", table=device_sessions, row=Session, key=lambda session: session.token_hash)
        self._sessions = SessionService(context, self._cache)
        self._sign_in = SignInService(context, self._sessions)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_auth.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        self._context.require(OUTBOX).register(SIGN_IN_CODE)
        if (notifications := self._context.find(NOTIFICATIONS)) is not None:
            notifications.register(NEW_DEVICE)
        try:
            yield (Offer(USER_AUTHENTICATOR, self._sessions), Offer(SESSIONS, self._sessions))
        finally:
            await self._sessions.close()

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._cache,)

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._sign_in, self._sessions)

    def backend_workers(self) -> Sequence[Worker]:
        return workers.workers(self._sessions, self._sign_in)

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions(self._sessions, self._sign_in)
