"""Every statement of the plugin, as functions of a connection."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from galaxy_admin.domain import AdminAccount, Outcome
from galaxy_admin.tables import admin_accounts, admin_audit_log
from galaxy_kernel.api import Connection, Paging, fetch_page

_ACCOUNT = tuple(admin_accounts.c[name] for name in AdminAccount.__struct_fields__)


def _account(row: Row[*tuple[Any, ...]] | None) -> AdminAccount | None:
    return None if row is None else AdminAccount(*row)


async def has_admins(connection: Connection) -> bool:
    """Return whether there is any account."""
    return (await connection.execute(select(admin_accounts.c.id).limit(1))).first() is not None


async def insert_account(connection: Connection, account: AdminAccount) -> bool:
    """Add an account; False when its name is taken."""
    statement = insert(admin_accounts).values(**{name: getattr(account, name) for name in account.__struct_fields__})
    result = await connection.execute(statement.on_conflict_do_nothing(index_elements=["username_folded"]))
    return bool(result.rowcount)


async def find_by_name(connection: Connection, username_folded: str) -> AdminAccount | None:
    """Return the account of a folded name."""
    statement = select(*_ACCOUNT).where(admin_accounts.c.username_folded == username_folded)
    return _account((await connection.execute(statement)).first())


async def lock_accounts(connection: Connection) -> list[AdminAccount]:
    """Return every account, locked until the transaction ends, so that two operators cannot disable each other."""
    rows = await connection.execute(select(*_ACCOUNT).order_by(admin_accounts.c.id).with_for_update())
    return [AdminAccount(*row) for row in rows]


async def change_account(
    connection: Connection, admin_id: UUID, *, seen_hash: str | None = None, **values: Any
) -> AdminAccount | None:
    """Change columns of an account and return it.

    With `seen_hash`, only while that is its password and it is enabled; return None otherwise.
    """
    statement = update(admin_accounts).where(admin_accounts.c.id == admin_id).values(**values)
    if seen_hash is not None:
        statement = statement.where(admin_accounts.c.password_hash == seen_hash, admin_accounts.c.disabled_at.is_(None))
    return _account((await connection.execute(statement.returning(*_ACCOUNT))).first())


async def count_try(connection: Connection, admin_id: UUID, now: datetime) -> int | None:
    """Count an attempt before it is evaluated, and return how many there were in a row; None while locked."""
    locked_until = admin_accounts.c.locked_until
    statement = (
        update(admin_accounts)
        .where(admin_accounts.c.id == admin_id, (locked_until.is_(None)) | (locked_until <= now))
        .values(failures=admin_accounts.c.failures + 1)
        .returning(admin_accounts.c.failures)
    )
    failures: int | None = (await connection.execute(statement)).scalar()
    return failures


async def lock(connection: Connection, admin_id: UUID, until: datetime) -> None:
    """Lock an account against further attempts."""
    await connection.execute(update(admin_accounts).where(admin_accounts.c.id == admin_id).values(locked_until=until))


async def locked_until(connection: Connection, admin_id: UUID) -> datetime | None:
    """Return until when an account is locked."""
    statement = select(admin_accounts.c.locked_until).where(admin_accounts.c.id == admin_id)
    return (await connection.execute(statement)).scalar()


async def forgive(connection: Connection, admin_id: UUID) -> None:
    """Reset the count of wrong attempts, after a right one."""
    await connection.execute(
        update(admin_accounts).where(admin_accounts.c.id == admin_id).values(failures=0, locked_until=None)
    )


async def begin_audit(
    connection: Connection,
    entry: UUID,
    *,
    at: datetime,
    admin_id: UUID | None,
    username: str,
    action: str,
    target: Mapping[str, str],
    request_id: str,
) -> None:
    """Add a row of the audit log with the outcome `unknown`."""
    await connection.execute(
        insert(admin_audit_log).values(
            id=entry,
            at=at,
            admin_id=admin_id,
            username=username,
            action=action,
            target=dict(target),
            request_id=request_id,
        )
    )


async def finish_audit(
    connection: Connection,
    entry: UUID,
    outcome: Outcome,
    status: int | None,
    at: datetime,
    target: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Complete a row of the audit log; `target` is added to what it has."""
    log = admin_audit_log.c
    statement = update(admin_audit_log).where(log.id == entry)
    await connection.execute(
        statement.values(
            outcome=outcome,
            status=status,
            finished_at=at,
            target=log.target.op("||")(bindparam("more", dict(target), type_=JSONB)),
        )
    )


async def list_accounts(connection: Connection, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of the accounts, by name, and how many there are."""
    return await fetch_page(connection, select(*_ACCOUNT).order_by(admin_accounts.c.username_folded), paging)


async def list_audit(
    connection: Connection, paging: Paging, *, username: str | None, action: str | None, outcome: Outcome | None
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of the audit log, the newest row first, and the number of all; user names in any case."""
    log = admin_audit_log.c
    statement: Select[Any] = select(admin_audit_log).order_by(log.at.desc(), log.id.desc())
    if username is not None:
        statement = statement.where(func.lower(log.username) == username.lower())
    if action is not None:
        statement = statement.where(log.action == action)
    if outcome is not None:
        statement = statement.where(log.outcome == outcome)
    return await fetch_page(connection, statement, paging)
