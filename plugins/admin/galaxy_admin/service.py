"""Use cases of operators' accounts.

Write paths, if the process dies between any two lines: each use case is one transaction, so it happened or it did
not. Attempts to sign in are described in `lockout`.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from argon2.exceptions import HashingError
from sqlalchemy import Row

from galaxy_admin import queries
from galaxy_admin.domain import AdminAccount, fold, parse_username
from galaxy_admin.lockout import Lockout
from galaxy_admin.passwords import Passwords, busy
from galaxy_admin.settings import AdminSettings
from galaxy_admin.strength import check_password
from galaxy_contracts.access import AdminIdentity
from galaxy_kernel.api import Cache, Context, Paging, Problem, conflict, invalid, new_id, not_found

CHANGE_OWN_PASSWORD = "admin.change_own_password"  # noqa: S105 - a route's name
"""The only route that a password which must be changed opens."""


class AdminService:
    """Implements `galaxy_contracts.access.AdminAuthenticator`, and the management of accounts."""

    def __init__(
        self,
        context: Context[AdminSettings],
        cache: Cache[str, AdminAccount],
        passwords: Passwords,
        lockout: Lockout,
    ) -> None:
        self._context, self._cache, self._passwords = context, cache, passwords
        self._lockout = lockout

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
        client_address: str,
    ) -> AdminIdentity | None:
        """Return the operator, or None; see the contract."""
        name = fold(username)
        account = self._cache.get(name)
        if account is not None and account.disabled_at is not None:
            account = None
        known = account is not None and self._passwords.remembers(account, password)
        if not known and not await self._try(name, account, password, client_address):
            return None
        if account is None:
            return None
        if account.must_rotate and route != CHANGE_OWN_PASSWORD:
            raise Problem(
                403,
                "password_rotation_required",
                "This password must be changed first: PUT /api/v1/admin/admins/me/password.",
            )
        return AdminIdentity(account.id, account.username)

    async def _try(self, name: str, account: AdminAccount | None, password: str, client_address: str) -> bool:
        """Evaluate a password under the lock-out: counted first, if there is a place for it; reset when right.

        What an account that does not exist does differently is one comparison.
        """
        source = await self._lockout.source(name, account, client_address)
        lane = self._passwords.operators if source.known else self._passwords.strangers
        with lane.place(source.network):
            failures = await self._lockout.begin(source, account)
            try:
                right = await self._passwords.verify(account, password, lane)
            except Exception as error:  # no memory, or a stored hash that cannot be read: the password may be right
                self._context.log.error("admin_password_unchecked", error=type(error).__name__)
                await self._lockout.give_back(source)
                raise busy() from None
        if right:
            await self._lockout.succeeded(source)
        else:
            await self._lockout.failed(source, account, failures)
        return right

    async def list_accounts(self, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of the accounts, by name, and how many there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_accounts(connection, paging)

    async def create(self, username: str, password: str) -> AdminAccount:
        """Create an account whose password must be changed at first use."""
        _check_password("password", password, username)
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

    async def change_own_password(self, actor: AdminIdentity, current: str, new: str, *, client_address: str) -> None:
        """Replace the caller's password; it opens everything then."""
        name = fold(actor.username)
        account = self._cache.get(name)
        if account is None:
            raise not_found("admin")
        _check_password("new_password", new, account.username)
        if new == current:
            raise invalid("new_password", "must differ from the current password")
        known = self._passwords.remembers(account, current)
        if not known and not await self._try(name, account, current, client_address):
            raise Problem(403, "current_password_wrong", "The current password is wrong.")
        new_hash = await self._hash(new)
        # the account must be unchanged: a reset or a disabling in between has precedence over this change
        await self._store(account, new_hash, unless_changed=True, must_rotate=False)

    async def create_offline(self, username: str, password: str) -> None:
        """Create an account from the command line; its password must be changed at first use."""
        try:
            name = parse_username(username)
        except ValueError as fault:
            raise invalid("username", str(fault)) from None
        await self.create(name, password)

    async def reset_password(self, username: str, password: str) -> None:
        """Replace a lost password from the command line: unlock and enable; it must be changed at first use."""
        _check_password("password", password, username)
        async with self._context.database.reading() as connection:
            account = await queries.find_by_name(connection, fold(username))
        if account is None:
            raise not_found("admin")
        await self._store(account, await self._hash(password), must_rotate=True, disabled_at=None)

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
                **values,
            )
            if changed is None:
                raise conflict(
                    "changed_meanwhile", "The account has just been changed by another operator: sign in again."
                )
            await self._cache.put(connection, changed)

    async def _hash(self, password: str) -> str:
        """Hash a new password. Raise 503 `admin_busy` when there is no place or no memory for it."""
        with self._passwords.operators.place():
            try:
                return await self._passwords.hash(password)
            except HashingError as error:
                self._context.log.error("admin_password_unchecked", error=type(error).__name__)
                raise busy() from None

    async def _new_account(self, username: str, password: str) -> AdminAccount:
        return AdminAccount(
            id=new_id(),
            username=username.strip(),
            username_folded=fold(username),
            password_hash=await self._hash(password),
            must_rotate=True,
            created_at=self._context.clock.now(),
        )


def _check_password(field: str, password: str, username: str) -> None:
    try:
        check_password(password, username)
    except ValueError as fault:
        raise invalid(field, str(fault)) from None
