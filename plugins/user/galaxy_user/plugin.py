"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.accounts import ACCOUNTS, Account
from galaxy_contracts.geo import COUNTRIES
from galaxy_kernel.api import Cache, Context, Manifest, Migrations, NoSettings, Offer, Route
from galaxy_user import routes
from galaxy_user.service import AccountService
from galaxy_user.tables import accounts, metadata


class UserPlugin:
    """Accounts of players."""

    manifest = Manifest(
        name="user", summary="Accounts: profile, block, deletion.", provides=(ACCOUNTS,), uses=(COUNTRIES,)
    )

    def __init__(self, context: Context[NoSettings]) -> None:
        self._cache = Cache(name="user", table=accounts, row=Account, key=lambda account: account.id)
        self._service = AccountService(context, self._cache)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_user.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        yield (Offer(ACCOUNTS, self._service),)

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._cache,)

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._service)
