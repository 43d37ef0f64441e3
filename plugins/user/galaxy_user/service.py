"""Use cases of accounts, each in one transaction.

What a crash leaves behind: every use case is one transaction that changes the row, adds the new version to the change
feed and records the fact for the listeners. A process that dies before the COMMIT has done nothing; one that dies after
it, even before its own memory is changed, has done everything: other replicas read the feed, the fact is a row that is
delivered until each listener has handled it, and a restart reads the table.

A deletion removes the address from the row and from its older versions in the feed with its own transaction; what other
plugins have of it goes by the fact `AccountDeleted`.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_contracts.accounts import Account, AccountBlocked, AccountDeleted, Registration
from galaxy_contracts.formats import parse_address
from galaxy_contracts.geo import COUNTRIES, CountryCount
from galaxy_kernel.api import (
    Cache,
    Connection,
    Context,
    NoSettings,
    Paging,
    conflict,
    new_id,
    not_found,
)
from galaxy_user import queries
from galaxy_user.domain import AccountState, ProfileChange, first_display_name


class AccountService:
    """Accounts: implements the contract `Accounts` and the use cases of the routes."""

    def __init__(self, context: Context[NoSettings], cache: Cache[UUID, Account]) -> None:
        self._context, self._cache = context, cache

    def get(self, account_id: UUID) -> Account | None:
        """Return the account from memory, deleted ones included; None when there never was one."""
        return self._cache.get(account_id)

    async def find(self, connection: Connection, email: str) -> Account | None:
        """Return the account of an address, whatever its case, or None, also for anything that is not an address."""
        try:
            folded = parse_address(email).folded
        except ValueError:
            return None
        return await queries.find_by_address(connection, folded)

    async def lock(self, connection: Connection, account_ids: Collection[UUID]) -> dict[UUID, Account]:
        """Return accounts as they stand, kept from being deleted until the transaction ends; see the contract."""
        return await queries.lock_against_deletion(connection, account_ids) if account_ids else {}

    async def find_or_create(self, connection: Connection, registration: Registration) -> tuple[Account, bool]:
        """Return the account of the address, created if there is none, and whether it was created.

        The account is locked against block and deletion until the caller's transaction ends: a session that the caller
        starts is either seen by the listeners of a later block, or not started. Raise ValueError for anything that is
        not an address.
        """
        address = parse_address(registration.email)
        while True:  # repeats only if the conflicting account was deleted between the two statements
            account = await queries.lock_by_address(connection, address.folded)
            if account is not None:
                return account, False
            account = self._new(registration, address.typed)
            if await queries.insert_account(connection, account, address.folded):
                await self._cache.put(connection, account)
                return account, True

    def own(self, account_id: UUID) -> Account:
        """Return the caller's account from memory."""
        account = self.get(account_id)
        if account is None or account.deleted_at is not None:
            raise not_found("account")
        return account

    async def change_profile(self, account_id: UUID, change: ProfileChange) -> Account:
        """Set some fields of the profile."""
        async with self._context.database.transaction() as connection:
            account = await queries.change_profile(connection, account_id, change)
            if account is None:
                raise not_found("account")
            await self._cache.put(connection, account)
            return account

    async def delete(self, account_id: UUID) -> None:
        """Delete an account: nothing personal stays in it. Deleting it again has no effect."""
        async with self._context.database.transaction() as connection:
            account = await self._locked(connection, account_id)
            if account.email is None:
                return
            scrubbed = await queries.scrub(connection, account_id, self._context.clock.now())
            await self._cache.put(connection, _existing(scrubbed), scrubbed=True)
            until = await queries.time(connection)  # at the end, so that little is written between it and the COMMIT
            await self._context.facts.record(connection, AccountDeleted(account_id, account.email, until))

    async def block(self, account_id: UUID, reason: str | None) -> Row[Any]:
        """Block an account. Blocking a blocked account changes nothing, not even its reason."""
        async with self._context.database.transaction() as connection:
            account = await self._locked(connection, account_id)
            _refuse_deleted(account)
            if account.blocked_at is None:
                now = self._context.clock.now()
                await self._changed(connection, await queries.set_block(connection, account_id, now, reason))
                await self._context.facts.record(connection, AccountBlocked(account_id))
            return await self._row(connection, account_id)

    async def unblock(self, account_id: UUID) -> Row[Any]:
        """Unblock an account. Sessions that the block ended stay ended."""
        async with self._context.database.transaction() as connection:
            account = await self._locked(connection, account_id)
            _refuse_deleted(account)
            if account.blocked_at is not None:
                await self._changed(connection, await queries.set_block(connection, account_id, None, None))
            return await self._row(connection, account_id)

    async def show(self, account_id: UUID) -> tuple[Row[Any], Sequence[CountryCount] | None]:
        """Return an account as operators see it, and the countries it was seen from; None without the plugin geo."""
        countries = self._context.find(COUNTRIES)
        async with self._context.database.reading() as connection:
            row = await self._row(connection, account_id)
            return row, None if countries is None else await countries.counts(connection, account_id)

    async def list_accounts(
        self, paging: Paging, *, email: str | None, state: AccountState | None
    ) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of accounts, the newest first, and how many there are; of one address where `email` is given.

        Raise ValueError when that is not an address.
        """
        folded = None if email is None else parse_address(email).folded
        async with self._context.database.reading() as connection:
            return await queries.list_accounts(connection, paging, folded=folded, state=state)

    def _new(self, registration: Registration, email: str) -> Account:
        return Account(
            id=new_id(),
            email=email,
            display_name=first_display_name(self._context.random),
            language=registration.language,
            time_zone=registration.time_zone,
            declared_country=registration.declared_country,
            created_at=self._context.clock.now(),
        )

    async def _locked(self, connection: Connection, account_id: UUID) -> Account:
        return _existing(await queries.lock_account(connection, account_id))

    async def _changed(self, connection: Connection, account: Account | None) -> None:
        await self._cache.put(connection, _existing(account))

    async def _row(self, connection: Connection, account_id: UUID) -> Row[Any]:
        row = await queries.find_for_operators(connection, account_id)
        if row is None:
            raise not_found("account")
        return row


def _existing(account: Account | None) -> Account:
    if account is None:
        raise not_found("account")
    return account


def _refuse_deleted(account: Account) -> None:
    if account.deleted_at is not None:
        raise conflict("account_deleted", "The account is deleted: it can be neither blocked nor unblocked.")
