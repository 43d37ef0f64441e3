"""Every statement of the plugin, as functions of a connection."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Executable, Row, Select, Uuid, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import insert

from galaxy_contracts.accounts import Account
from galaxy_kernel.api import Connection, Paging, fetch_page
from galaxy_user.domain import DELETED_NAME, AccountState, ProfileChange
from galaxy_user.tables import accounts

_ACCOUNT = tuple(accounts.c[name] for name in Account.__struct_fields__)

_BY_ADDRESS = select(*_ACCOUNT).where(accounts.c.email_folded == bindparam("folded"))
_BY_ADDRESS_LOCKED = _BY_ADDRESS.with_for_update(read=True)
_LOCKED = (
    select(*_ACCOUNT)
    .where(accounts.c.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    .order_by(accounts.c.id)
    .with_for_update(read=True, key_share=True)
)
"""FOR KEY SHARE: a deletion, which changes a unique column, waits for it; a changed profile and a block do not."""
_INSERT = insert(accounts).on_conflict_do_nothing(index_elements=[accounts.c.email_folded]).returning(accounts.c.id)

_state = case(
    (accounts.c.deleted_at.is_not(None), "deleted"), (accounts.c.blocked_at.is_not(None), "blocked"), else_="active"
)
_FOR_OPERATORS: Select[Any] = select(accounts, _state.label("state"))


async def find_by_address(connection: Connection, folded: str) -> Account | None:
    """Return the account of a folded address."""
    return await _one(connection, _BY_ADDRESS.params(folded=folded))


async def lock_by_address(connection: Connection, folded: str) -> Account | None:
    """Return the account of a folded address, locked against blocking and deletion until this transaction ends."""
    return await _one(connection, _BY_ADDRESS_LOCKED.params(folded=folded))


async def lock_against_deletion(connection: Connection, account_ids: Collection[UUID]) -> dict[UUID, Account]:
    """Return accounts by id, each locked against deletion until this transaction ends."""
    rows = await connection.execute(_LOCKED, {"ids": list(account_ids)})
    return {account.id: account for account in (Account(*row) for row in rows)}


async def insert_account(connection: Connection, account: Account, folded: str) -> bool:
    """Insert the account unless the address has one; waits for a transaction that is just making it."""
    values = msgspec.structs.asdict(account) | {"email_folded": folded}
    return (await connection.execute(_INSERT, values)).first() is not None


async def change_profile(connection: Connection, account_id: UUID, change: ProfileChange) -> Account | None:
    """Set the fields of the change; return None where the account no longer exists."""
    statement = update(accounts).where(accounts.c.id == account_id, accounts.c.deleted_at.is_(None)).values(**change)
    return await _one(connection, statement.returning(*_ACCOUNT))


async def lock_account(connection: Connection, account_id: UUID) -> Account | None:
    """Return the account and keep others from changing it until this transaction ends."""
    return await _one(connection, select(*_ACCOUNT).where(accounts.c.id == account_id).with_for_update(key_share=True))


async def set_block(
    connection: Connection, account_id: UUID, blocked_at: datetime | None, reason: str | None
) -> Account | None:
    """Set or lift the block."""
    values = {"blocked_at": blocked_at, "blocked_reason": reason}
    statement = update(accounts).where(accounts.c.id == account_id).values(values)
    return await _one(connection, statement.returning(*_ACCOUNT))


async def scrub(connection: Connection, account_id: UUID, deleted_at: datetime) -> Account | None:
    """Mark the account as deleted and remove everything personal from it."""
    values = {
        "email": None,
        "email_folded": None,
        "display_name": DELETED_NAME,
        "language": "en",
        "time_zone": "UTC",
        "declared_country": None,
        "blocked_reason": None,
        "deleted_at": deleted_at,
    }
    statement = update(accounts).where(accounts.c.id == account_id).values(values)
    return await _one(connection, statement.returning(*_ACCOUNT))


async def time(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def find_for_operators(connection: Connection, account_id: UUID) -> Row[Any] | None:
    """Return the whole row of an account, and its state."""
    row: Row[Any] | None = (await connection.execute(_FOR_OPERATORS.where(accounts.c.id == account_id))).first()
    return row


async def list_accounts(
    connection: Connection, paging: Paging, *, folded: str | None = None, state: AccountState | None = None
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of accounts as operators see them, the newest first, and how many there are."""
    statement = _FOR_OPERATORS.order_by(accounts.c.id.desc())
    if folded is not None:
        statement = statement.where(accounts.c.email_folded == folded)
    if state is not None:
        statement = statement.where(_state == state)
    return await fetch_page(connection, statement, paging)


async def _one(connection: Connection, statement: Executable) -> Account | None:
    row = (await connection.execute(statement)).first()
    return None if row is None else Account(*row)
