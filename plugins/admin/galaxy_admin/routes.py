"""The plugin's HTTP operations (SPEC D-1, D-2)."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from galaxy_admin.audit import AdminAuditLog
from galaxy_admin.domain import Outcome, parse_username
from galaxy_admin.service import CHANGE_OWN_PASSWORD, AdminService
from galaxy_admin.strength import SHORTEST_PASSWORD
from galaxy_kernel.api import Access, Call, Described, Model, Page, Paging, Route, Timestamp

Username = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\s:\x00-\x1f\x7f]+$"),
    AfterValidator(parse_username),
]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
NewPassword = Annotated[Password, Described(minLength=SHORTEST_PASSWORD)]


class AdminView(Model):
    """An operator's account."""

    id: UUID
    username: str
    must_rotate: bool
    """Whether the password opens nothing but the route that changes it."""
    created_at: Timestamp
    password_changed_at: Timestamp | None
    disabled_at: Timestamp | None


class NewAdmin(Model):
    """An account to create."""

    username: Username
    password: NewPassword
    """Must be changed at first use."""


class PasswordChange(Model):
    """A change of one's own password."""

    current_password: Password
    new_password: NewPassword
    """At least 12 characters, without the user name in it, and not one of those that are guessed first."""


class AuditQuery(Paging):
    """Filters of the audit log."""

    username: str | None = None
    action: str | None = None
    """A route's name, for example `user.block`."""
    outcome: Outcome | None = None


class AuditEntry(Model):
    """An entry of the audit log."""

    id: UUID
    at: Timestamp
    finished_at: Timestamp | None
    admin_id: UUID | None
    """None: from the command line."""
    username: str
    action: str
    target: dict[str, str]
    outcome: Outcome
    """`unknown`: not ended yet, or the process died in it."""
    status: int | None
    request_id: str


def routes(service: AdminService, audit: AdminAuditLog) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_account_routes(service), _audit_route(audit))


def _account_routes(service: AdminService) -> Sequence[Route]:
    async def list_accounts(query: Paging) -> Page[AdminView]:
        """By name, with those that are disabled."""
        rows, total = await service.list_accounts(query)
        return query.page_of([AdminView.of(row) for row in rows], total)

    async def create(call: Call, body: NewAdmin) -> AdminView:
        """Its password opens nothing but the operation that changes it, until it is changed."""
        call.target["username"] = body.username
        return AdminView.of(await service.create(body.username, body.password))

    async def disable(call: Call, admin_id: UUID) -> AdminView:
        """Its password opens nothing then. Nobody disables their own account, so that one operator always remains."""
        return AdminView.of(await service.set_enabled(call.admin, admin_id, enabled=False))

    async def enable(call: Call, admin_id: UUID) -> AdminView:
        """Its password opens what it opened before."""
        return AdminView.of(await service.set_enabled(call.admin, admin_id, enabled=True))

    async def change_own_password(call: Call, body: PasswordChange) -> None:
        """The one operation that is open to an account whose password must be changed; afterwards it opens everything.
        The current password is needed again.
        """
        call.target["username"] = call.admin.username
        current, new = body.current_password, body.new_password
        await service.change_own_password(call.admin, current, new, client_address=call.client_address)

    path, one, admin = "/api/v1/admin/admins", "/api/v1/admin/admins/{admin_id}", Access.ADMIN
    missing, meanwhile = "404 not_found", "409 disabled_meanwhile"
    return (
        Route("GET", path, list_accounts, "admin.list_admins", "List the operators.", admin),
        Route(
            "POST",
            path,
            create,
            name="admin.create",
            summary="Create an operator's account.",
            access=admin,
            status=201,
            errors=("409 username_taken",),
        ),
        Route(
            "POST",
            f"{one}/disable",
            disable,
            name="admin.disable",
            summary="Disable an account.",
            access=admin,
            errors=(missing, "409 own_account", meanwhile),
        ),
        Route(
            "POST",
            f"{one}/enable",
            enable,
            name="admin.enable",
            summary="Enable an account again.",
            access=admin,
            errors=(missing, meanwhile),
        ),
        Route(
            "PUT",
            f"{path}/me/password",
            change_own_password,
            name=CHANGE_OWN_PASSWORD,
            summary="Change your own password.",
            access=admin,
            errors=("403 current_password_wrong", "409 changed_meanwhile"),
        ),
    )


def _audit_route(audit: AdminAuditLog) -> Route:
    async def list_entries(query: AuditQuery) -> Page[AuditEntry]:
        """What operators did and which personal data they read, the newest first. A change is noted before it is made:
        an entry without an end is one that the process did not survive.
        """
        chosen = {"username": query.username, "action": query.action}
        rows, total = await audit.list_entries(query, **chosen, outcome=query.outcome)
        return query.page_of([AuditEntry.of(row) for row in rows], total)

    return Route("GET", "/api/v1/admin/audit", list_entries, "admin.audit", "List audit entries.", Access.ADMIN)
