"""Every statement of the plugin, as functions of a connection."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, insert

from galaxy_contracts.notification import Channel
from galaxy_kernel.api import Connection, Paging, fetch_page, prepared
from galaxy_notification.domain import Reason, ValidatedIntent
from galaxy_notification.tables import notification_mutes, notification_routes, notifications

_n, _r, _m = notifications.c, notification_routes.c, notification_mutes.c

_SUBMIT = prepared(
    text("""
    WITH given AS (
        SELECT * FROM json_to_recordset(CAST(:intents AS json))
            AS given (id uuid, kind text, key text, payload jsonb, routes json)
    ), intents AS (
        INSERT INTO notifications (id, kind, idempotency_key, payload, request_id)
        SELECT id, kind, key, payload, CAST(:request_id AS text) FROM given
        ON CONFLICT (kind, idempotency_key) DO NOTHING
        RETURNING id
    ), routes AS (
        INSERT INTO notification_routes (id, notification_id, kind, account_id, channel, request_id)
        SELECT route.id, given.id, given.kind, route.account_id, route.channel, CAST(:request_id AS text)
        FROM given, json_to_recordset(given.routes) AS route (id uuid, account_id uuid, channel text)
        WHERE given.id IN (SELECT id FROM intents)
    )
    SELECT given.id AS given, (
        SELECT n.id FROM notifications AS n WHERE n.kind = given.kind AND n.idempotency_key = given.key
    ) AS id
    FROM given WHERE given.id NOT IN (SELECT id FROM intents)
""")
    .bindparams(bindparam("intents", type_=Text), bindparam("request_id", type_=Text))
    .columns(Column("given", Uuid), Column("id", Uuid))
)
"""Returns what was not stored, with the id of what has its key; NULL when that is not visible yet."""
_BY_KEY = select(_n.id).where(_n.kind == bindparam("kind"), _n.idempotency_key == bindparam("key"))

_INTENTS = select(_n.id, cast(_n.payload, Text).label("payload")).where(
    _n.id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
)

_MUTES = select(_m.account_id, _m.kind, _m.channel).where(
    _m.account_id == func.any(bindparam("accounts", type_=ARRAY(Uuid)))
)

_PRUNE = text("""
    WITH old AS MATERIALIZED (
        SELECT id FROM notifications AS n
        WHERE created_at < statement_timestamp() - make_interval(secs => :age) AND NOT EXISTS (
            SELECT 1 FROM notification_routes AS r
            WHERE r.notification_id = n.id AND r.state IN ('pending', 'retrying')
        )
        ORDER BY created_at LIMIT :limit
    ), routes AS (
        DELETE FROM notification_routes WHERE notification_id IN (SELECT id FROM old)
    )
    DELETE FROM notifications WHERE id IN (SELECT id FROM old)
""")

_FORGET_PAYLOADS = text("""
    UPDATE notifications AS n SET payload = '{}'
    WHERE n.id IN (SELECT notification_id FROM notification_routes WHERE account_id = ANY (CAST(:accounts AS uuid[])))
        AND n.payload <> '{}'
        AND NOT EXISTS (
            SELECT 1 FROM notification_routes AS r
            WHERE r.notification_id = n.id
                AND (r.account_id IS NULL OR r.account_id <> ALL (CAST(:accounts AS uuid[])))
        )
""").bindparams(bindparam("accounts", type_=ARRAY(Uuid)))


async def submit(connection: Connection, intents: Sequence[ValidatedIntent], request: str) -> list[UUID]:
    """Store intents and their routes; return the id of each, or that of the one with the same key.

    One statement; one more for each intent that lost a race, since the first could not yet see the winner's rows.
    """
    parameters = {"intents": msgspec.json.encode(intents).decode(), "request_id": request}
    others: dict[UUID, UUID | None] = {row.given: row.id for row in await connection.execute(_SUBMIT, parameters)}
    return [others.get(intent.id, intent.id) or await _by_key(connection, intent) for intent in intents]


async def _by_key(connection: Connection, intent: ValidatedIntent) -> UUID:
    by_key = {"kind": intent.kind, "key": intent.key}
    return UUID(str((await connection.execute(_BY_KEY, by_key)).scalar_one()))


async def find_payloads(connection: Connection, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the payloads of intents, as JSON, by their ids."""
    return {row.id: row.payload for row in await connection.execute(_INTENTS, {"ids": list(ids)})}


async def list_notifications(
    connection: Connection,
    paging: Paging,
    *,
    kind: str | None = None,
    state: str | None = None,
    channel: Channel | None = None,
    account: UUID | None = None,
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of intents that have a matching route, the newest first, with all their routes."""
    wanted: list[ColumnElement[bool]] = []
    if state == "dead_lettered":
        wanted.append(literal_column("state = 'dead_lettered'", Boolean))  # literally, to use the index of dead letters
    elif state is not None:
        wanted.append(_r.state == state)
    if channel is not None:
        wanted.append(_r.channel == channel)
    if account is not None:
        wanted.append(_r.account_id == account)
    statement = _with_routes().order_by(_n.id.desc())
    if kind is not None:
        statement = statement.where(_n.kind == kind)
    if wanted:
        statement = statement.where(_n.id.in_(select(_r.notification_id).where(*wanted)))
    return await fetch_page(connection, statement, paging)


async def find_notification(connection: Connection, notification: UUID) -> Row[*tuple[Any, ...]] | None:
    """Return one intent with its routes."""
    statement: Select[*tuple[Any, ...]] = _with_routes().where(_n.id == notification)
    return (await connection.execute(statement)).first()


async def list_of_account(
    connection: Connection, account: UUID, paging: Paging, *, unread: bool
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of an account's notifications, the newest first, with only the account's own routes."""
    mine = and_(_r.notification_id == _n.id, _r.account_id == account)
    read_at = select(func.min(_r.read_at)).where(mine).scalar_subquery()
    statement = select(_n.id, _n.kind, _n.created_at, _n.payload, read_at.label("read_at"), _routes(mine))
    chosen = mine if not unread else and_(mine, _r.read_at.is_(None))
    statement = statement.where(select(literal(1)).where(chosen).exists()).order_by(_n.id.desc())
    return await fetch_page(connection, statement, paging)


async def mark_read(connection: Connection, account: UUID, now: datetime, notification: UUID | None = None) -> int:
    """Mark an account's notifications as read, or one of them; return how many of its routes were selected.

    They are locked in the order of ids, as by a worker that records results, so that the two do not deadlock.
    """
    which = _r.read_at.is_(None) if notification is None else _r.notification_id == notification
    chosen = select(_r.id).where(_r.account_id == account, which).order_by(_r.id).with_for_update()
    statement = update(notification_routes).where(_r.id == func.any(func.array(chosen.scalar_subquery())))
    return int((await connection.execute(statement.values(read_at=func.coalesce(_r.read_at, now)))).rowcount)


async def count_unread(connection: Connection, account: UUID) -> int:
    """Return how many notifications an account has not read."""
    statement = select(func.count(_r.notification_id.distinct())).where(_r.account_id == account, _r.read_at.is_(None))
    return int((await connection.execute(statement)).scalar_one())


async def lock_route(connection: Connection, route: UUID) -> Row[*tuple[Any, ...]] | None:
    """Return `notification_id`, `account_id` and `state` of a route, and keep others from changing it."""
    statement = select(_r.notification_id, _r.account_id, _r.state).where(_r.id == route).with_for_update()
    return (await connection.execute(statement)).first()


async def skip_account(connection: Connection, account: UUID) -> None:
    """Skip pending routes to a deleted account, and empty the payloads that were for it alone.

    A route claimed by a worker is fenced off: its completion changes nothing, so its work is rolled back.
    """
    pending = text("state IN ('pending', 'retrying')")
    now = func.statement_timestamp()
    skipped = {
        "state": "skipped",
        "last_error": Reason.ACCOUNT_DELETED.value,
        "finished_at": now,
        "next_attempt_at": None,
        "claimed_at": None,
        "lease": _r.lease + 1,
    }
    await connection.execute(update(notification_routes).where(_r.account_id == account, pending).values(skipped))
    await forget_payloads(connection, [account])
    await connection.execute(delete(notification_mutes).where(_m.account_id == account))


async def forget_payloads(connection: Connection, accounts: Collection[UUID]) -> None:
    """Empty the payloads that were for deleted accounts alone."""
    await connection.execute(_FORGET_PAYLOADS, {"accounts": list(accounts)})


async def find_mutes(connection: Connection, accounts: Collection[UUID]) -> set[tuple[UUID, str, str]]:
    """Return what accounts have switched off, as account, kind and channel."""
    found = await connection.execute(_MUTES, {"accounts": list(accounts)})
    return {(row.account_id, row.kind, row.channel) for row in found}


async def set_mute(connection: Connection, account: UUID, kind: str, channel: Channel, *, muted: bool) -> None:
    """Switch a kind and channel off or on for an account."""
    if muted:
        values = {"account_id": account, "kind": kind, "channel": str(channel)}
        await connection.execute(insert(notification_mutes).values(values).on_conflict_do_nothing())
    else:
        chosen = and_(_m.account_id == account, _m.kind == kind, _m.channel == channel)
        await connection.execute(delete(notification_mutes).where(chosen))


async def prune(connection: Connection, age: timedelta, limit: int) -> int:
    """Delete up to `limit` intents older than `age` without pending routes; return how many."""
    return int((await connection.execute(_PRUNE, {"age": age.total_seconds(), "limit": limit})).rowcount)


def _with_routes() -> Select[Any]:
    columns = (_n.id, _n.kind, _n.created_at, _n.idempotency_key, _n.payload, _n.request_id)
    return select(*columns, _routes(_r.notification_id == _n.id, account_id=_r.account_id))


def _routes(which: ColumnElement[bool], **more: Any) -> Any:
    """Return the routes of an intent as one JSON array, so that a page of intents is one round trip."""
    shown = {
        "id": _r.id,
        "channel": _r.channel,
        "state": _r.state,
        "reason": _r.last_error,
        "attempts": _r.attempts,
        "next_attempt_at": _r.next_attempt_at,
        "finished_at": _r.finished_at,
        **more,
    }
    pairs = [part for name, column in shown.items() for part in (literal(name, Text), column)]
    ordered = aggregate_order_by(func.jsonb_build_object(*pairs), _r.id)
    found: ScalarSelect[Any] = select(func.jsonb_agg(ordered, type_=JSONB)).where(which).scalar_subquery()
    return func.coalesce(found, literal([], JSONB), type_=JSONB).label("routes")
