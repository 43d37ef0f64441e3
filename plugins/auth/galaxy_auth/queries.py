"""Every statement of the plugin, as functions of a connection. Times are parameters from the service's clock."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Executable,
    LargeBinary,
    Row,
    ScalarSelect,
    Select,
    Uuid,
    bindparam,
    column,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from galaxy_auth.domain import MAX_TRIES, Sent, Session
from galaxy_auth.tables import auth_challenges as challenges
from galaxy_auth.tables import device_sessions as sessions
from galaxy_kernel.api import Connection, Paging, fetch_page

_SESSION = tuple(sessions.c[name] for name in Session.__struct_fields__)


def _made(key: ColumnElement[bytes], value: str, since: str, place: str | int) -> ScalarSelect[datetime]:
    """Return when the challenge at `place`, from 0, among the newest of a key was created."""
    statement = select(challenges.c.created_at).where(key == bindparam(value, type_=LargeBinary))
    statement = statement.where(challenges.c.created_at > bindparam(since, type_=DateTime(timezone=True)))
    offset = bindparam(place, type_=BigInteger) if isinstance(place, str) else place
    return statement.order_by(challenges.c.created_at.desc()).limit(1).offset(offset).scalar_subquery()


_SENT = select(
    _made(challenges.c.address_key, "address", "day", 0),
    _made(challenges.c.address_key, "address", "day", "address_place"),
    _made(challenges.c.client_key, "client", "hour", "client_place"),
)


async def find_sent(
    connection: Connection, address: bytes, client: bytes, now: datetime, *, per_address: int, per_client: int
) -> Sent:
    """Return the input of the throttles, in one statement of three index look-ups, whatever the limits are."""
    values = {
        "address": address,
        "client": client,
        "day": now - timedelta(days=1),
        "hour": now - timedelta(hours=1),
        "address_place": per_address - 1,
        "client_place": per_client - 1,
    }
    return Sent(*(await connection.execute(_SENT, values)).one())


async def insert_challenge(connection: Connection, values: dict[str, Any]) -> None:
    """Insert a challenge."""
    await connection.execute(insert(challenges), values)


_SPEND = (
    update(challenges)
    .where(
        challenges.c.id == bindparam("challenge"),
        challenges.c.tries < MAX_TRIES,
        challenges.c.redeemed_at.is_(None),
        challenges.c.email.is_not(None),
        challenges.c.expires_at > bindparam("now", type_=DateTime(timezone=True)),
    )
    .values(tries=challenges.c.tries + 1)
    .returning(challenges.c.code_hash, challenges.c.email, challenges.c.locale, challenges.c.tries)
)


async def spend_try(connection: Connection, challenge_id: UUID, now: datetime) -> Row[Any] | None:
    """Count an attempt on the challenge and lock it; return None when it is closed or unknown.

    Parallel calls queue for the row's lock and each checks the row again, so no more than `MAX_TRIES` get it.
    """
    return (await connection.execute(_SPEND, {"challenge": challenge_id, "now": now})).first()


async def redeem_challenge(connection: Connection, challenge_id: UUID, now: datetime) -> None:
    """Close a redeemed challenge."""
    await connection.execute(update(challenges).where(challenges.c.id == challenge_id).values(redeemed_at=now))


async def scrub_challenges(connection: Connection, address_key: bytes, until: datetime) -> None:
    """Remove the address from its challenges made until then, which closes them; throttles still count them."""
    statement = update(challenges).where(challenges.c.address_key == address_key, challenges.c.created_at <= until)
    await connection.execute(statement.values(email=None))


async def delete_challenges(connection: Connection, before: datetime) -> int:
    """Delete the challenges created before then, and return how many there were."""
    return (await connection.execute(delete(challenges).where(challenges.c.created_at < before))).rowcount


async def insert_session(connection: Connection, session: Session) -> None:
    """Insert a session."""
    await connection.execute(insert(sessions), msgspec.structs.asdict(session))


def are_alive(now: datetime, idle: timedelta) -> ColumnElement[bool]:
    """Return the condition of sessions that have not expired."""
    return (sessions.c.expires_at > now) & (sessions.c.last_seen_at > now - idle)


async def list_sessions(
    connection: Connection, account_id: UUID, paging: Paging, *, now: datetime, idle: timedelta
) -> tuple[list[Session], int]:
    """Return one page of a player's sessions that have not expired, the newest first, and how many there are."""
    statement: Select[Any] = select(*_SESSION).where(sessions.c.account_id == account_id, are_alive(now, idle))
    newest_first = statement.order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
    rows, total = await fetch_page(connection, newest_first, paging)
    return [Session(*row[: len(_SESSION)]) for row in rows], total


async def delete_sessions(
    connection: Connection, which: ColumnElement[bool], *, limit: int | None = None
) -> list[Session]:
    """Delete sessions and return them. The rows are locked in one order, so that parallel calls never deadlock."""
    picked = select(sessions.c.id).where(which).order_by(sessions.c.id).limit(limit).with_for_update().cte("picked")
    statement = delete(sessions).where(sessions.c.id.in_(select(picked.c.id))).returning(*_SESSION)
    return await _all(connection, statement)


def are_of(account_id: UUID) -> ColumnElement[bool]:
    """Return the condition of one account's sessions."""
    return sessions.c.account_id == account_id


def is_one(account_id: UUID, session_id: UUID) -> ColumnElement[bool]:
    """Return the condition of one session of an account."""
    return are_of(account_id) & (sessions.c.id == session_id)


def are_others(account_id: UUID, session_id: UUID) -> ColumnElement[bool]:
    """Return the condition of all sessions of an account but one."""
    return are_of(account_id) & (sessions.c.id != session_id)


def have_run_out(now: datetime, idle: timedelta, grace: timedelta) -> ColumnElement[bool]:
    """Return the condition of sessions that expired at least `grace` ago, or are past their absolute end."""
    return or_(sessions.c.expires_at <= now, sessions.c.last_seen_at <= now - idle - grace)


_SEEN = (
    func.unnest(bindparam("ids", type_=ARRAY(Uuid)), bindparam("times", type_=ARRAY(DateTime(timezone=True))))
    .table_valued(column("id", Uuid), column("at", DateTime(timezone=True)), name="seen")
    .render_derived()
)


def _touch() -> Executable:
    picked = (
        select(sessions.c.id, _SEEN.c.at)
        .join_from(sessions, _SEEN, sessions.c.id == _SEEN.c.id)
        .where(sessions.c.last_seen_at < _SEEN.c.at)
        .order_by(sessions.c.id)
        .with_for_update(of=sessions)
        .cte("picked")
    )
    statement = update(sessions).where(sessions.c.id == picked.c.id).values(last_seen_at=picked.c.at)
    return statement.returning(*_SESSION)


_TOUCH = _touch()


async def touch_sessions(connection: Connection, seen: Sequence[tuple[UUID, datetime]]) -> list[Session]:
    """Write when sessions were last used, and return those that changed."""
    ids, times = zip(*seen, strict=True)
    return await _all(connection, _TOUCH, {"ids": list(ids), "times": list(times)})


async def _all(connection: Connection, statement: Executable, values: dict[str, Any] | None = None) -> list[Session]:
    return [Session(*row) for row in await connection.execute(statement, values)]
