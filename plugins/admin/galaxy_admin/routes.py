"""HTTP operations of the admin plugin."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from galaxy_admin import queries
from galaxy_admin.service import CHANGE_OWN_PASSWORD, AdminService
from galaxy_admin.settings import AdminSettings
from galaxy_kernel.api import Access, Call, Context, Model, Page, Paging, Route, fetch_page

Username = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\s:\x00-\x1f\x7f]+$")
]
"""No colon, since HTTP Basic ends the name there, and no control characters (RFC 7617)."""
Password = Annotated[str, Field(min_length=1, max_length=1024)]


class AdminView(Model):
    """An operator's account."""

    id: UUID
    username: str
    must_rotate: bool
    """Whether the password opens nothing but the route that changes it."""
    created_at: datetime
    password_changed_at: datetime | None
    disabled_at: datetime | None

    @classmethod
    def of(cls, account: object) -> "AdminView":
        """Show an account, or a row of one."""
        return cls.model_validate(account, from_attributes=True)


class NewAdmin(Model):
    """An account to make."""

    username: Username
    password: Password
    """Must be changed at first use."""


class PasswordChange(Model):
    """A change of one's own password."""

    current_password: Password
    new_password: Password
    """At least 12 characters, without the user name in it."""


class AuditQuery(Paging):
    """Which rows of the audit log."""

    username: str | None = None
    action: str | None = None
    """A route's name, for example `user.block`."""
    outcome: Literal["unknown", "done", "refused", "failed"] | None = None


class AuditEntry(Model):
    """What an operator did."""

    id: UUID
    at: datetime
    finished_at: datetime | None
    admin_id: UUID | None
    """None: from the command line."""
    username: str
    action: str
    target: dict[str, str]
    outcome: Literal["unknown", "done", "refused", "failed"]
    """`unknown`: not ended yet, or the process died in it."""
    status: int | None
    request_id: str


class AdminRoutes:
    """Parse, call the service, answer."""

    def __init__(self, context: Context[AdminSettings], service: AdminService) -> None:
        self._context, self._service = context, service

    async def list_admins(self, query: Paging) -> Page[AdminView]:
        async with self._context.database.reading() as connection:
            rows, total = await fetch_page(connection, queries.list_accounts(), query)
        return query.page_of([AdminView.of(row) for row in rows], total)

    async def create(self, call: Call, body: NewAdmin) -> AdminView:
        call.target["username"] = body.username
        return AdminView.of(await self._service.create(body.username, body.password))

    async def disable(self, call: Call, admin_id: UUID) -> AdminView:
        return AdminView.of(await self._service.set_enabled(call.admin, admin_id, enabled=False))

    async def enable(self, call: Call, admin_id: UUID) -> AdminView:
        return AdminView.of(await self._service.set_enabled(call.admin, admin_id, enabled=True))

    async def change_own_password(self, call: Call, body: PasswordChange) -> None:
        call.target["username"] = call.admin.username
        await self._service.change_own_password(call.admin, body.current_password, body.new_password)

    async def audit(self, query: AuditQuery) -> Page[AuditEntry]:
        statement = queries.list_audit(username=query.username, action=query.action, outcome=query.outcome)
        async with self._context.database.reading() as connection:
            rows, total = await fetch_page(connection, statement, query)
        return query.page_of([AuditEntry.model_validate(row, from_attributes=True) for row in rows], total)

    def table(self) -> Sequence[Route]:
        """Give the routes."""
        admins, admin = "/api/v1/admin/admins", Access.ADMIN
        return [
            Route("GET", admins, self.list_admins, "admin.list_admins", "List the operators.", admin),
            Route(
                "POST", admins, self.create, "admin.create", "Make an operator's account.", admin,
                status=201, errors=("409 username_taken",),
            ),
            Route(
                "POST", f"{admins}/{{admin_id}}/disable", self.disable, "admin.disable", "Disable an account.", admin,
                errors=("404 not_found", "409 own_account", "409 disabled_meanwhile"),
            ),
            Route(
                "POST", f"{admins}/{{admin_id}}/enable", self.enable, "admin.enable", "Enable an account again.", admin,
                errors=("404 not_found", "409 disabled_meanwhile"),
            ),
            Route(
                "PUT", f"{admins}/me/password", self.change_own_password, CHANGE_OWN_PASSWORD,
                "Change one's own password.", admin, errors=("403 current_password_wrong", "409 changed_meanwhile"),
            ),
            Route("GET", "/api/v1/admin/audit", self.audit, "admin.audit", "Read what operators did.", admin),
        ]  # fmt: skip
