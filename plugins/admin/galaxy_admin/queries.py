"""Every statement of the plugin, as functions of a connection."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from galaxy_admin.domain import (
    FEW_KEPT,
    FREE_TRIES,
    LEEWAY,
    LONGEST_LOCK,
    MANY_KEPT,
    NETWORK_KNOWN,
    AdminAccount,
    Outcome,
)
from galaxy_admin.tables import admin_accounts, admin_audit_log, admin_known_networks, admin_sign_in_attempts
from galaxy_kernel.api import Connection, Paging, fetch_page, new_id

_known = admin_known_networks.c
_ACCOUNT = tuple(admin_accounts.c[name] for name in AdminAccount.__struct_fields__)


def _account(row: Row[*tuple[Any, ...]] | None) -> AdminAccount | None:
    return None if row is None else AdminAccount(*row)


async def has_admins(connection: Connection) -> bool:
    """Return whether there is any account."""
    return (await connection.execute(select(admin_accounts.c.id).limit(1))).first() is not None


async def all_accounts(connection: Connection) -> list[AdminAccount]:
    """Return every account."""
    rows = await connection.execute(select(*(admin_accounts.c[name] for name in AdminAccount.__struct_fields__)))
    return [AdminAccount(**row._asdict()) for row in rows]


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


_attempts = admin_sign_in_attempts.c
_NOW = bindparam("now", type_=DateTime(timezone=True))
_length = case(
    (
        _attempts.failures > FREE_TRIES,
        func.least(LONGEST_LOCK.total_seconds(), func.power(2.0, func.least(_attempts.failures - FREE_TRIES - 1, 30))),
    ),
    else_=0.0,
)
"""Seconds that `domain.lock_after` says, for a statement."""
_unlocked = or_(
    _attempts.last_at > _NOW + LEEWAY, _attempts.last_at + func.make_interval(0, 0, 0, 0, 0, 0, _length) <= _NOW
)
"""An attempt that lies further in the future was counted under a wrong clock, and locks nothing."""
_COUNT = (
    insert(admin_sign_in_attempts)
    .values(key=bindparam("of", type_=LargeBinary), failures=1, last_at=_NOW)
    .on_conflict_do_update(
        index_elements=["key"], set_={"failures": _attempts.failures + 1, "last_at": _NOW}, where=_unlocked
    )
    .returning(_attempts.failures)
)


async def count_attempt(connection: Connection, key: bytes, now: datetime) -> int | None:
    """Count an attempt before it is evaluated, and return how many there were in a row; None while locked."""
    failures: int | None = (await connection.execute(_COUNT, {"of": key, "now": now})).scalar()
    return failures


async def find_attempts(connection: Connection, key: bytes) -> tuple[int, datetime]:
    """Return how many attempts there were in a row, and when the last was."""
    statement = select(_attempts.failures, _attempts.last_at).where(_attempts.key == key)
    failures, last_at = (await connection.execute(statement)).one()
    return failures, last_at


async def uncount_attempt(connection: Connection, key: bytes) -> None:
    """Uncount one attempt."""
    statement = update(admin_sign_in_attempts).where(_attempts.key == key)
    await connection.execute(statement.values(failures=func.greatest(_attempts.failures - 1, 0)))


async def forget_attempts(connection: Connection, key: bytes) -> None:
    """Reset the count of attempts, after a right one."""
    await connection.execute(delete(admin_sign_in_attempts).where(_attempts.key == key))


async def is_known(connection: Connection, key: bytes, now: datetime) -> bool:
    """Return whether a network signed in lately."""
    lately = (_known.key == key) & (_known.seen_at > now - NETWORK_KNOWN)
    return (await connection.execute(select(_known.key).where(lately))).first() is not None


async def know_network(connection: Connection, key: bytes, now: datetime) -> None:
    """Note that a network signed in."""
    statement = insert(admin_known_networks).values(key=key, seen_at=now)
    await connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"seen_at": now}))


async def prune_attempts(connection: Connection, now: datetime) -> int:
    """Delete attempts that lock nothing any longer, and networks that have not signed in lately; return how many."""
    few = (_attempts.failures <= FREE_TRIES) & (_attempts.last_at < now - FEW_KEPT)
    statement = delete(admin_sign_in_attempts).where(or_(few, _attempts.last_at < now - MANY_KEPT))
    attempts = await connection.execute(statement)
    networks = await connection.execute(delete(admin_known_networks).where(_known.seen_at < now - NETWORK_KNOWN))
    return int(attempts.rowcount + networks.rowcount)


_FOLD = text("""
    INSERT INTO admin_audit_log AS entry
        (id, at, finished_at, admin_id, username, action, target, outcome, status, request_id, fold_key)
    VALUES (:id, :at, :at, :admin_id, :username, :action, CAST(:target AS jsonb) || '{"count": "1"}', :outcome, :status,
        :request_id, :fold_key)
    ON CONFLICT (fold_key) WHERE fold_key IS NOT NULL DO UPDATE SET
        finished_at = excluded.at,
        target = entry.target || coalesce((
            SELECT jsonb_object_agg(more.key, CASE
                WHEN more.value = ANY (string_to_array(entry.target ->> more.key, ',')) THEN entry.target ->> more.key
                ELSE left(concat_ws(',', entry.target ->> more.key, more.value), :longest) END)
            FROM jsonb_each_text(excluded.target - 'count') AS more
        ), '{}') || jsonb_build_object('count', CAST(CAST(entry.target ->> 'count' AS bigint) + 1 AS text))
""").bindparams(
    bindparam("id", type_=Uuid),
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("admin_id", type_=Uuid),
    bindparam("username", type_=Text),
    bindparam("action", type_=Text),
    bindparam("target", type_=JSONB),
    bindparam("outcome", type_=Text),
    bindparam("status", type_=Integer),
    bindparam("request_id", type_=Text),
    bindparam("fold_key", type_=Text),
    bindparam("longest", 2000, type_=Integer),
)


async def fold_audit(
    connection: Connection,
    *,
    at: datetime,
    admin_id: UUID | None,
    username: str,
    action: str,
    outcome: Outcome,
    status: int | None,
    request_id: str,
    target: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add to the audit log, in the row of this operator, action and minute, which counts; targets are listed in it."""
    values = {
        "id": new_id(),
        "at": at,
        "admin_id": admin_id,
        "username": username,
        "action": action,
        "target": dict(target),
        "outcome": outcome,
        "status": status,
        "request_id": request_id,
        "fold_key": f"{action}/{admin_id or username}/{at:%Y-%m-%dT%H:%M}",
    }
    await connection.execute(_FOLD, values)


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
