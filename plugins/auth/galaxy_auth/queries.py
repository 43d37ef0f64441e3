"""Every statement of the plugin, as functions of a connection. Times are parameters from the service's clock."""

from collections.abc import Mapping, Sequence
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
from sqlalchemy.dialects.postgresql import insert as upsert

from galaxy_auth.domain import CHALLENGES_KEPT, NETWORK_KNOWN, WRONG_CODES_KEPT, ClientKeys, Sent, Session
from galaxy_auth.tables import auth_challenges as challenges
from galaxy_auth.tables import auth_known_networks as known
from galaxy_auth.tables import auth_wrong_codes as wrong_codes
from galaxy_auth.tables import device_sessions as sessions
from galaxy_kernel.api import Connection, Paging, fetch_page, new_id

_SESSION = tuple(sessions.c[name] for name in Session.__struct_fields__)


_LEEWAY = timedelta(seconds=5)
"""A challenge that lies further in the future was made under a wrong clock, and does not count."""


def _nth(at: ColumnElement[datetime], since: str, place: str, *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """Return the time of the row at `place`, from 0, among the newest that the conditions select."""
    moment = DateTime(timezone=True)
    statement = select(at).where(
        *conditions, at > bindparam(since, type_=moment), at <= bindparam("latest", type_=moment)
    )
    return statement.order_by(at.desc()).limit(1).offset(bindparam(place, type_=BigInteger)).scalar_subquery()


def _sent() -> Select[Any]:
    made, stranger = challenges.c.created_at, ~challenges.c.known
    mailbox, client, site, network = (
        challenges.c[f"{name}_key"] == bindparam(name, type_=LargeBinary)
        for name in ("mailbox", "client", "site", "network")
    )
    signed_in = select(known.c.account_id).where(
        known.c.mailbox_key == bindparam("mailbox", type_=LargeBinary),
        known.c.site_key == bindparam("site", type_=LargeBinary),
        known.c.seen_at > bindparam("lately", type_=DateTime(timezone=True)),
    )
    return select(
        signed_in.exists().label("known"),
        _nth(made, "day", "newest_place", mailbox, network).label("newest"),
        _nth(made, "day", "own_newest_place", mailbox, site).label("own_newest"),
        _nth(made, "day", "here_place", mailbox, network).label("here"),
        _nth(made, "day", "own_here_place", mailbox, site).label("own_here"),
        _nth(made, "day", "strangers_place", mailbox, stranger).label("strangers"),
        _nth(made, "hour", "client_place", client).label("client"),
        _nth(made, "hour", "site_place", site).label("site"),
        _nth(made, "hour", "network_place", network).label("network"),
        _nth(made, "hour", "everybody_place", stranger).label("everybody"),
        _nth(wrong_codes.c.at, "hour", "wrong_place").label("wrong"),
    )


_SENT = _sent()


async def find_sent(
    connection: Connection, mailbox: bytes, keys: ClientKeys, now: datetime, *, allowed: Mapping[str, int]
) -> Sent:
    """Return the input of the throttles, in one statement of index look-ups; `allowed` are the numbers by field."""
    values = {
        "mailbox": mailbox,
        **keys._asdict(),
        "lately": now - NETWORK_KNOWN,
        "day": now - timedelta(days=1),
        "hour": now - timedelta(hours=1),
        "latest": now + _LEEWAY,
        **{f"{name}_place": number - 1 for name, number in allowed.items()},
    }
    return Sent(**(await connection.execute(_SENT, values)).mappings().one())


async def insert_challenge(connection: Connection, values: dict[str, Any]) -> None:
    """Insert a challenge."""
    await connection.execute(insert(challenges), values)


_SPEND = (
    update(challenges)
    .where(
        challenges.c.id == bindparam("challenge"),
        challenges.c.tries < challenges.c.tries_allowed,
        challenges.c.redeemed_at.is_(None),
        challenges.c.email.is_not(None),
        challenges.c.expires_at > bindparam("now", type_=DateTime(timezone=True)),
    )
    .values(tries=challenges.c.tries + 1)
    .returning(
        challenges.c.code_hash,
        challenges.c.email,
        challenges.c.locale,
        (challenges.c.tries_allowed - challenges.c.tries).label("left"),
        challenges.c.mailbox_key,
        challenges.c.written_at,
    )
)


async def spend_try(connection: Connection, challenge_id: UUID, now: datetime) -> Row[Any] | None:
    """Count an attempt on the challenge and lock it; return None when it is closed or unknown.

    Parallel calls queue for the row's lock and each checks the row again, so no more than are allowed get it.
    """
    return (await connection.execute(_SPEND, {"challenge": challenge_id, "now": now})).first()


async def redeem_challenge(connection: Connection, challenge_id: UUID, now: datetime) -> None:
    """Close a redeemed challenge; the address is the account's now."""
    statement = update(challenges).where(challenges.c.id == challenge_id)
    await connection.execute(statement.values(redeemed_at=now, email=None))


async def insert_wrong_code(connection: Connection, now: datetime) -> None:
    """Count a wrong code."""
    await connection.execute(insert(wrong_codes).values(id=new_id(), at=now))


async def know_network(connection: Connection, mailbox: bytes, site: bytes, account_id: UUID, now: datetime) -> None:
    """Note that an account signed in from a site."""
    statement = upsert(known).values(mailbox_key=mailbox, site_key=site, account_id=account_id, seen_at=now)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(known.primary_key), set_={"seen_at": now})
    )


async def forget_networks(connection: Connection, account_id: UUID) -> None:
    """Delete the sites from which an account signed in."""
    await connection.execute(delete(known).where(known.c.account_id == account_id))


async def scrub_challenges(connection: Connection, address_key: bytes, until: datetime) -> None:
    """Remove the address from its challenges written until then, which closes them; throttles still count them."""
    statement = update(challenges).where(challenges.c.address_key == address_key, challenges.c.written_at <= until)
    await connection.execute(statement.values(email=None))


async def prune_challenges(connection: Connection, now: datetime) -> int:
    """Remove the addresses of expired challenges, and what no throttle counts any longer; return how many rows."""
    expired = challenges.c.email.is_not(None) & (challenges.c.expires_at <= now)
    statements = (
        update(challenges).where(expired).values(email=None),
        delete(challenges).where(challenges.c.created_at < now - CHALLENGES_KEPT),
        delete(wrong_codes).where(wrong_codes.c.at < now - WRONG_CODES_KEPT),
        delete(known).where(known.c.seen_at < now - NETWORK_KNOWN),
    )
    return sum([int((await connection.execute(statement)).rowcount) for statement in statements])


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
