"""Use cases of operators' accounts.

Write paths, if the process dies between any two lines: each use case is one transaction, so it happened or it did
not. An attempt is counted and committed before the password is checked: killing the process gains no attempts.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_admin import queries
from galaxy_admin.domain import CONTROL, SHORTEST_PASSWORD, AdminAccount, fold, lock_after
from galaxy_admin.passwords import Passwords
from galaxy_admin.settings import AdminSettings
from galaxy_contracts.access import AdminIdentity
from galaxy_kernel.api import Cache, Context, Paging, Problem, conflict, invalid, new_id, not_found

CHANGE_OWN_PASSWORD = "admin.change_own_password"  # noqa: S105 - a route's name
"""The only route that a password which must be changed opens."""


class AdminService:
    """Implements `galaxy_contracts.access.AdminAuthenticator`, and the management of accounts."""

    def __init__(self, context: Context[AdminSettings], cache: Cache[str, AdminAccount], passwords: Passwords) -> None:
        self._context, self._cache, self._passwords = context, cache, passwords

    async def bootstrap(self) -> None:
        """Create the first admin of the settings while there is none; safe on several replicas at once."""
        settings = self._context.settings
        if settings.bootstrap_user is None or settings.bootstrap_password is None:
            return
        async with self._context.database.reading() as connection:
            if await queries.has_admins(connection):
                return
        password = settings.bootstrap_password.get_secret_value()
        account = await self._new_account(settings.bootstrap_user, password)
        async with self._context.database.transaction() as connection:
            if await queries.insert_account(connection, account):
                await self._cache.put(connection, account)
                self._context.log.info("first_admin_created")

    async def authenticate(
        self,
        username: str,
        password: str,
        *,
        route: str,
        client_address: str,  # noqa: ARG002 # the lock-out will count by it
    ) -> AdminIdentity | None:
        """Return the operator, or None; see the contract."""
        account = self._cache.get(fold(username))
        if account is None or account.disabled_at is not None:
            with self._passwords.place():
                await self._passwords.verify(None, password)
            return None
        if not self._passwords.remembers(account, password) and not await self._try(account, password):
            return None
        if account.must_rotate and route != CHANGE_OWN_PASSWORD:
            raise Problem(
                403,
                "password_rotation_required",
                "This password must be changed first: PUT /api/v1/admin/admins/me/password.",
            )
        return AdminIdentity(account.id, account.username)

    async def _try(self, account: AdminAccount, password: str) -> bool:
        """Evaluate a password under the lock-out: counted first, if there is a place for it; reset when right."""
        with self._passwords.place():
            failures = await self._count_try(account)
            right = await self._passwords.verify(account, password)
        if not right:
            self._context.log.warning("admin_password_wrong", admin_id=str(account.id), failures=failures)
            return False
        async with self._context.database.transaction() as connection:
            await queries.forgive(connection, account.id)
        return True

    async def _count_try(self, account: AdminAccount) -> int:
        """Count an attempt, lock the account where it is one too many, and return how many there were in a row."""
        now = self._context.clock.now()
        async with self._context.database.transaction() as connection:
            failures = await queries.count_try(connection, account.id, now)
            if failures is None:
                until = await queries.locked_until(connection, account.id)
                raise _locked(1.0 if until is None else (until - now).total_seconds())
            delay = lock_after(failures)
            if delay is not None:
                await queries.lock(connection, account.id, now + delay)
        return failures

    async def list_accounts(self, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of the accounts, by name, and how many there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_accounts(connection, paging)

    async def create(self, username: str, password: str) -> AdminAccount:
        """Create an account whose password must be changed at first use."""
        _check_password("password", password, username)
        with self._passwords.place():
            account = await self._new_account(username, password)
        async with self._context.database.transaction() as connection:
            if not await queries.insert_account(connection, account):
                raise conflict("username_taken", "There is an admin of that name already.")
            await self._cache.put(connection, account)
        return account

    async def set_enabled(self, actor: AdminIdentity, admin_id: UUID, *, enabled: bool) -> AdminAccount:
        """Disable or enable an account. Nobody disables themselves, so that one operator always remains."""
        if not enabled and actor.admin_id == admin_id:
            raise conflict("own_account", "You cannot disable your own account: ask another admin.")
        async with self._context.database.transaction() as connection:
            accounts = {account.id: account for account in await queries.lock_accounts(connection)}
            if admin_id not in accounts:
                raise not_found("admin")
            if accounts[actor.admin_id].disabled_at is not None:
                raise conflict("disabled_meanwhile", "Your own account has just been disabled.")
            disabled_at = None if enabled else accounts[admin_id].disabled_at or self._context.clock.now()
            changed = await queries.change_account(connection, admin_id, disabled_at=disabled_at)
            if changed is None:
                raise not_found("admin")
            await self._cache.put(connection, changed)
        return changed

    async def change_own_password(self, actor: AdminIdentity, current: str, new: str) -> None:
        """Replace the caller's password; it opens everything then."""
        account = self._cache.get(fold(actor.username))
        if account is None:
            raise not_found("admin")
        _check_password("new_password", new, account.username)
        if new == current:
            raise invalid("new_password", "must differ from the current password")
        if not self._passwords.remembers(account, current) and not await self._try(account, current):
            raise Problem(403, "current_password_wrong", "The current password is wrong.")
        with self._passwords.place():
            new_hash = await self._passwords.hash(new)
        # the account must be unchanged: a reset or a disabling in between has precedence over this change
        await self._store(account, new_hash, unless_changed=True, must_rotate=False)

    async def reset_password(self, username: str, password: str) -> None:
        """Replace a lost password from the command line: unlock and enable; it must be changed at first use."""
        _check_password("password", password, username)
        async with self._context.database.reading() as connection:
            account = await queries.find_by_name(connection, fold(username))
        if account is None:
            raise not_found("admin")
        await self._store(account, await self._passwords.hash(password), must_rotate=True, disabled_at=None)

    async def _store(
        self, account: AdminAccount, password_hash: str, *, unless_changed: bool = False, **values: object
    ) -> None:
        async with self._context.database.transaction() as connection:
            changed = await queries.change_account(
                connection,
                account.id,
                seen_hash=account.password_hash if unless_changed else None,
                password_hash=password_hash,
                password_changed_at=self._context.clock.now(),
                failures=0,
                locked_until=None,
                **values,
            )
            if changed is None:
                raise conflict(
                    "changed_meanwhile", "The account has just been changed by another operator: sign in again."
                )
            await self._cache.put(connection, changed)

    async def _new_account(self, username: str, password: str) -> AdminAccount:
        return AdminAccount(
            id=new_id(),
            username=username.strip(),
            username_folded=fold(username),
            password_hash=await self._passwords.hash(password),
            must_rotate=True,
            created_at=self._context.clock.now(),
        )


def _locked(wait: float) -> Problem:
    seconds = max(1, round(wait + 0.5))
    return Problem(
        429,
        "admin_locked",
        f"Too many wrong passwords: try again in {seconds} s, or run `backend admin reset-password`.",
        headers={"Retry-After": str(seconds)},
    )


def _check_password(field: str, password: str, username: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise invalid(field, f"must have at least {SHORTEST_PASSWORD} characters")
    if fold(username) and fold(username) in fold(password):
        raise invalid(field, "must not contain the user name")
    if CONTROL.search(password):
        raise invalid(field, "must not contain control characters, which HTTP Basic cannot carry")
