"""Accounts of players: what the user plugin offers to others."""

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar, Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection
from galaxy_contracts.fact import Fact


class Account(msgspec.Struct, frozen=True):
    """An account as every replica holds it in memory. A deleted account keeps its id and nothing personal."""

    id: UUID
    email: str | None
    """As the player typed it: where mail goes. None once deleted."""
    display_name: str
    language: str
    """BCP 47 tag, for example `en` or `de-AT`."""
    time_zone: str
    """IANA name, for example `Europe/Vienna`."""
    declared_country: str | None
    """ISO 3166-1 alpha-2, set once at registration; None when it was unknown."""
    created_at: datetime
    blocked_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it may sign in and act: it is neither blocked nor deleted."""
        return self.blocked_at is None and self.deleted_at is None


class Registration(msgspec.Struct, frozen=True):
    """The data of a person who signs in, for the account created at the first sign-in."""

    email: str
    language: str = "en"
    time_zone: str = "UTC"
    declared_country: str | None = None


class Accounts(Protocol):
    """Reading accounts from memory, and the sign-in's find-or-create."""

    def get(self, account_id: UUID) -> Account | None:
        """Return the account from memory, deleted ones included; None when there was never one."""

    async def find(self, connection: Connection, email: str) -> Account | None:
        """Return the account of an address, whatever its case, or None."""

    async def lock(self, connection: Connection, account_ids: Collection[UUID]) -> dict[UUID, Account]:
        """Return accounts as they stand in the database, and keep them from being deleted until the transaction ends.

        Deleted ones are included; there is none for an id that never was one. Whoever writes what a deletion must
        remove calls this first: so it is there when the listeners of the deletion look, or is not written. Call it once
        in a transaction, for all accounts: they are locked in the order of their ids.
        """

    async def find_or_create(self, connection: Connection, registration: Registration) -> tuple[Account, bool]:
        """Return the account of the address, created if there is none, and whether it was created.

        Safe under parallel calls for one address: they all get the same account.
        """


class AccountDeleted(Fact, frozen=True):
    """A player or an operator deleted an account; its personal data is gone from `accounts`."""

    fact: ClassVar[str] = "user.account_deleted"
    account_id: UUID
    email: str
    """The address as it was, so that others can scrub it. The fact's row goes once every listener has handled it."""
    deleted_at: datetime
    """The database's time at the end of the deleting transaction, for data that has only the address.

    What has the account's id goes by that. Of the rest what was written later belongs to a new account: the same person
    may have signed in again before listeners get this fact. Compare with times that the database took, and wait for
    transactions that began earlier, by a lock that writers of such data hold too.
    """


class AccountBlocked(Fact, frozen=True):
    """An operator blocked an account."""

    fact: ClassVar[str] = "user.account_blocked"
    account_id: UUID


ACCOUNTS: Capability[Accounts] = Capability("user.accounts")
