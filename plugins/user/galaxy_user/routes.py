"""The plugin's HTTP operations (SPEC U-2, U-3)."""

from collections.abc import Sequence
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from galaxy_kernel.api import (
    Access,
    Call,
    DisplayName,
    Email,
    Language,
    Model,
    Page,
    Paging,
    Route,
    Timestamp,
    TimeZone,
)
from galaxy_user.domain import MAX_REASON, AccountState, ProfileChange
from galaxy_user.service import AccountService


def _without_default(schema: dict[str, Any]) -> None:
    """Leave the default out of the documentation: an absent field is left as it is, not set to the default."""
    schema.pop("default", None)


class AccountView(Model):
    """An account, as its player sees it."""

    id: UUID
    email: str | None
    """The address, as it was typed at the first sign-in."""
    display_name: str
    """The name that other players see."""
    language: str
    """BCP 47 tag: the language of mails."""
    time_zone: str
    """Name in the IANA database: the zone of times in mails."""
    declared_country: str | None
    """ISO 3166-1 alpha-2, as found at registration."""
    created_at: Timestamp


class AdminAccountView(AccountView):
    """An account, as operators see it."""

    state: AccountState
    blocked_at: Timestamp | None
    blocked_reason: str | None
    """For operators only."""
    deleted_at: Timestamp | None


class AccountCountry(Model):
    """How often an account was seen from a country."""

    country: str
    """ISO 3166-1 alpha-2; `ZZ` where it is unknown."""
    requests: int
    last_seen_at: Timestamp


class AdminAccountDetail(AdminAccountView):
    """One account, as operators see it, with the countries it was seen from."""

    countries: Sequence[AccountCountry] | None
    """The most frequent country first; null where the plugin geo is not installed."""


class ProfilePatch(Model):
    """The fields of a profile to change, at least one; the others stay as they are."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    display_name: DisplayName = Field(default="", json_schema_extra=_without_default)
    """One visible line."""
    language: Language = Field(default="", json_schema_extra=_without_default)
    """BCP 47 tag, for example `de-AT`."""
    time_zone: TimeZone = Field(default="", json_schema_extra=_without_default)
    """Name in the IANA database, for example `Europe/Vienna`."""

    @model_validator(mode="after")
    def _something(self) -> "ProfilePatch":
        if not self.model_fields_set:
            raise ValueError("must hold at least one of display_name, language and time_zone")
        return self

    def change(self) -> ProfileChange:
        """Return only the fields that were sent."""
        return cast("ProfileChange", self.model_dump(exclude_unset=True))


class BlockRequest(Model):
    """Why an account is blocked."""

    reason: Annotated[str, StringConstraints(max_length=MAX_REASON)] | None = None
    """For other operators; the player does not see it."""


class UserQuery(Paging):
    """Filters of the operators' list."""

    email: Email | None = None
    """The exact address, whatever its case."""
    state: AccountState | None = None


def routes(service: AccountService) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_own_routes(service), *_admin_routes(service))


def _own_routes(service: AccountService) -> Sequence[Route]:
    path = "/api/v1/user/account"

    async def show(call: Call) -> AccountView:
        """Your profile, as mails and other players are given it."""
        return AccountView.of(service.own(call.user.account_id))

    async def change(call: Call, body: ProfilePatch) -> AccountView:
        """The fields that are sent are set, the others stay. Other players see the name at once."""
        return AccountView.of(await service.change_profile(call.user.account_id, body.change()))

    async def delete(call: Call) -> None:
        """Ends every session, removes everything personal, and gives up your seats. The address may sign in again, to a
        new account.
        """
        await service.delete(call.user.account_id)

    user = Access.USER
    return (
        Route("GET", path, show, "user.account", "Show your account.", user, errors=("404 not_found",)),
        Route("PATCH", path, change, "user.change_account", "Change your profile.", user, errors=("404 not_found",)),
        Route("DELETE", path, delete, "user.delete_account", "Delete your account for good.", user),
    )


def _admin_routes(service: AccountService) -> Sequence[Route]:
    path, one = "/api/v1/admin/users", "/api/v1/admin/users/{account_id}"

    async def list_accounts(query: UserQuery) -> Page[AdminAccountView]:
        """The newest first. This read is recorded in the audit log."""
        rows, total = await service.list_accounts(query, email=query.email, state=query.state)
        return query.page_of([AdminAccountView.of(row) for row in rows], total)

    async def show(account_id: UUID) -> AdminAccountDetail:
        """With the countries it was seen from, where the plugin geo is installed. This read is recorded in the audit
        log.
        """
        row, found = await service.show(account_id)
        countries = None if found is None else [AccountCountry.of(each) for each in found]
        return AdminAccountDetail(**dict(AdminAccountView.of(row)), countries=countries)

    async def delete(account_id: UUID) -> None:
        """Ends its sessions and removes everything personal, for good; deleting it again has no effect."""
        await service.delete(account_id)

    async def block(call: Call, account_id: UUID, body: BlockRequest | None) -> AdminAccountView:
        """Ends its sessions; it cannot sign in until it is unblocked. Blocking a blocked account changes nothing, not
        even the reason.
        """
        reason = None if body is None else body.reason
        call.target["reason_given"] = "false" if reason is None else "true"  # never the text, which is personal data
        return AdminAccountView.of(await service.block(account_id, reason))

    async def unblock(account_id: UUID) -> AdminAccountView:
        """It may sign in again; the sessions that the block ended stay ended."""
        return AdminAccountView.of(await service.unblock(account_id))

    admin, missing, deleted = Access.ADMIN, "404 not_found", "409 account_deleted"
    return (
        Route(
            "GET", path, list_accounts, "user.list", "List accounts; filter by address or state.", admin, personal=True
        ),
        Route("GET", one, show, "user.show", "Show an account.", admin, errors=(missing,), personal=True),
        Route("DELETE", one, delete, "user.delete", "Delete an account for good.", admin, errors=(missing,)),
        Route("POST", f"{one}/block", block, "user.block", "Block an account.", admin, errors=(missing, deleted)),
        Route(
            "POST", f"{one}/unblock", unblock, "user.unblock", "Unblock an account.", admin, errors=(missing, deleted)
        ),
    )
