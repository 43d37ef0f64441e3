"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import typer
from argon2 import PasswordHasher

from galaxy_admin import commands, doctor, routes, workers
from galaxy_admin.audit import AdminAuditLog
from galaxy_admin.domain import AdminAccount
from galaxy_admin.lockout import Lockout
from galaxy_admin.passwords import Passwords
from galaxy_admin.service import AdminService
from galaxy_admin.settings import AdminSettings
from galaxy_admin.tables import admin_accounts, metadata
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, AUDIT_LOG
from galaxy_kernel.api import Cache, Context, DoctorCheck, Manifest, Migrations, Offer, Route, Worker


class AdminPlugin:
    """Operators' accounts and the audit log (SPEC D)."""

    manifest = Manifest(
        name="admin",
        summary="Operators' accounts and the audit log.",
        settings=AdminSettings,
        provides=(ADMIN_AUTHENTICATOR, AUDIT_LOG),
    )

    hasher: ClassVar[PasswordHasher] = PasswordHasher()
    """Argon2id with the parameters of RFC 9106's second recommendation; tests use a faster one."""

    def __init__(self, context: Context[AdminSettings]) -> None:
        self._context = context
        self._cache: Cache[str, AdminAccount] = Cache(
            name="admin", table=admin_accounts, row=AdminAccount, key=lambda account: account.username_folded
        )
        self._lockout = Lockout(context)
        self._service = AdminService(context, self._cache, Passwords(self.hasher), self._lockout)
        self._audit = AdminAuditLog(context)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_admin.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        await self._service.bootstrap()
        yield (Offer(ADMIN_AUTHENTICATOR, self._service), Offer(AUDIT_LOG, self._audit))

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._cache,)

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._service, self._audit)

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        return doctor.checks(self._context)

    def backend_workers(self) -> Sequence[Worker]:
        return workers.workers(self._lockout)

    def backend_commands(self) -> typer.Typer:
        return commands.commands(self._context, self._service, self._audit)
