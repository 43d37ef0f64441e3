"""Every statement of the plugin, as functions of a connection."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Interval,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    update,
)

from galaxy_kernel.api import Connection, Paging, advisory_lock, fetch_page, shared_lock_sql
from galaxy_mail.domain import Draft, Identity, comparable
from galaxy_mail.tables import STATES, mail_attempts, mail_deliveries

_d = mail_deliveries.c

_DRAFT = tuple(field.name for field in fields(Draft))

_QUEUEING = "mail/queue"
"""The lock that everybody who queues mails shares until COMMIT, and that the removal of an address excludes.

So a mail is either committed before the removal looks for it, or queued after it.
"""

_UNFOLDED = text("recipient IS NOT NULL AND recipient_folded IS NULL")
"""Literally, to use the index of these rows."""
_FOLD = text("""
    UPDATE mail_deliveries AS d SET recipient_folded = f.folded
    FROM unnest(CAST(:spellings AS text[]), CAST(:folded AS text[])) AS f (spelling, folded)
    WHERE d.recipient = f.spelling AND d.recipient IS NOT NULL AND d.recipient_folded IS NULL
        AND d.id = ANY (CAST(:ids AS uuid[]))
""").bindparams(
    bindparam("spellings", type_=ARRAY(Text)),
    bindparam("folded", type_=ARRAY(Text)),
    bindparam("ids", type_=ARRAY(Uuid)),
)

_INSERT = (  # the lock is that of `advisory_lock`, taken here without another round trip
    text(f"""
        INSERT INTO mail_deliveries (id, kind, recipient, recipient_folded, account_id, message_id, idempotency_key,
            expires_at, request_id, mime, sealed, last_error, state, next_attempt_at, finished_at)
        WITH shared AS MATERIALIZED ({shared_lock_sql("queueing")})
        SELECT draft.*,
            CASE WHEN last_error IS NULL THEN 'pending' ELSE 'dead_lettered' END,
            CASE WHEN last_error IS NULL THEN now() END,
            CASE WHEN last_error IS NOT NULL THEN statement_timestamp() END
        FROM shared, unnest(CAST(:id AS uuid[]), CAST(:kind AS text[]), CAST(:recipient AS text[]),
            CAST(:recipient_folded AS text[]), CAST(:account_id AS uuid[]), CAST(:message_id AS text[]),
            CAST(:idempotency_key AS text[]), CAST(:expires_at AS timestamptz[]), CAST(:request_id AS text[]),
            CAST(:mime AS bytea[]), CAST(:sealed AS bytea[]), CAST(:last_error AS text[]))
            AS draft(id, kind, recipient, recipient_folded, account_id, message_id, idempotency_key, expires_at,
                request_id, mime, sealed, last_error)
        ON CONFLICT (kind, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id
    """)  # noqa: S608 - the kernel's own SQL
    .bindparams(
        bindparam("queueing", _QUEUEING, type_=Text),
        *(bindparam(name, type_=ARRAY(_d[name].type)) for name in _DRAFT),
    )
    .columns(_d.id)
)
_BY_KEYS = (
    text("""
        SELECT d.kind, d.idempotency_key, d.id
        FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS text[])) AS wanted(kind, key)
        JOIN mail_deliveries AS d ON d.kind = wanted.kind AND d.idempotency_key = wanted.key
    """)
    .bindparams(bindparam("kinds", type_=ARRAY(Text)), bindparam("keys", type_=ARRAY(Text)))
    .columns(_d.kind, _d.idempotency_key, _d.id)
)

_OLD = (
    text("""
        SELECT id FROM mail_deliveries
        WHERE state NOT IN ('pending', 'retrying') AND id < CAST(
            lpad(to_hex(greatest(0, CAST(extract(epoch FROM statement_timestamp()) * 1000 AS bigint) - :age)), 12, '0')
            || '00000000000000000000' AS uuid)
        ORDER BY id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    """)
    .bindparams(bindparam("age", type_=BigInteger), bindparam("limit", type_=BigInteger))
    .columns(_d.id)
)
"""Uses the time in the ids, whose first 48 bits are milliseconds (RFC 9562, 5.7), so it needs no index of times."""
_DELETE = text("""
    WITH attempts AS (DELETE FROM mail_attempts WHERE delivery_id = ANY (CAST(:ids AS uuid[])))
    DELETE FROM mail_deliveries WHERE id = ANY (CAST(:ids AS uuid[]))
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))

DELIVERY = (
    _d.id,
    _d.kind,
    _d.recipient,
    _d.state,
    _d.attempts,
    _d.created_at,
    _d.next_attempt_at,
    case((_d.state == "sent", _d.finished_at)).label("sent_at"),
    _d.expires_at,
    _d.last_error,
    _d.message_id,
    _d.request_id,
)
"""The columns of a delivery that operators see, without its content."""

_FOR_RESEND = select(
    _d.state,
    (_d.expires_at <= func.statement_timestamp()).label("expired"),
    and_(_d.mime.is_(None), _d.sealed.is_(None)).label("empty"),
).where(_d.id == bindparam("id"))


async def insert_deliveries(connection: Connection, drafts: Iterable[Draft]) -> set[UUID]:
    """Add deliveries, and return the ids of those added: not of one whose kind and key exist already.

    They are added in the order of their keys, so that two transactions wait for each other and do not deadlock.
    """
    ordered = sorted(drafts, key=lambda draft: (draft.kind, draft.idempotency_key or ""))
    columns = {name: [getattr(draft, name) for draft in ordered] for name in _DRAFT}
    return set((await connection.execute(_INSERT, columns)).scalars())


async def find_by_keys(connection: Connection, wanted: Iterable[Identity]) -> list[tuple[Identity, UUID]]:
    """Return the deliveries of these kinds and keys, and their ids."""
    pairs = [each for each in wanted if isinstance(each, tuple)]
    values = {"kinds": [kind for kind, _ in pairs], "keys": [key for _, key in pairs]}
    return [((kind, key), delivery) for kind, key, delivery in await connection.execute(_BY_KEYS, values)]


async def find_delivery(connection: Connection, delivery: UUID) -> Row[*tuple[Any, ...]] | None:
    """Return one delivery as operators see it."""
    return (await connection.execute(select(*DELIVERY).where(_d.id == delivery))).first()


async def list_deliveries(
    connection: Connection,
    paging: Paging,
    *,
    state: str | None = None,
    kind: str | None = None,
    recipient: str | None = None,
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of deliveries, the newest first, and how many there are."""
    statement: Select[Any] = select(*DELIVERY).order_by(_d.id.desc())
    if state == "dead_lettered":
        statement = statement.where(text("state = 'dead_lettered'"))  # literally, to use the index of dead letters
    elif state is not None:
        statement = statement.where(_d.state == state)
    if kind is not None:
        statement = statement.where(_d.kind == kind)
    if recipient is not None:
        statement = statement.where(await _addressed_to(connection, recipient))
    return await fetch_page(connection, statement, paging)


async def list_attempts(connection: Connection, delivery: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of a delivery's attempts, the first one first, and how many there are."""
    a = mail_attempts.c
    statement = (
        select(a.attempt_no, a.started_at, a.finished_at, a.outcome, a.smtp_code, a.detail)
        .where(a.delivery_id == delivery)
        .order_by(a.attempt_no)
    )
    return await fetch_page(connection, statement, paging)


async def lock_for_resend(connection: Connection, delivery: UUID) -> Row[Any] | None:
    """Return `state`, `expired` and `empty` of a delivery, and keep others from changing it."""
    return (await connection.execute(_FOR_RESEND.with_for_update(), {"id": delivery})).first()


async def scrub_account(connection: Connection, account: UUID, address: str, until: datetime, reason: str) -> int:
    """Remove an account's address and the contents sent to it from its deliveries; dead-letter those not sent yet.

    Deliveries to the address that name no account count where they were created until then.

    A mail that is being sent is fenced off from its worker, whose completion changes nothing.
    """
    await advisory_lock(connection, _QUEUEING)
    to_nobody = and_(_d.account_id.is_(None), _d.created_at <= until, await _addressed_to(connection, address))
    pending = _d.state.in_(["pending", "retrying"])
    statement = (
        update(mail_deliveries)
        .where(or_(_d.account_id == account, to_nobody))
        .values(
            recipient=None,
            recipient_folded=None,
            mime=None,
            sealed=None,
            state=case((pending, "dead_lettered"), else_=_d.state),
            last_error=case((pending, reason), else_=_d.last_error),
            finished_at=case((pending, func.statement_timestamp()), else_=_d.finished_at),
            next_attempt_at=None,
            claimed_at=None,
            lease=_d.lease + 1,
        )
    )
    return int((await connection.execute(statement)).rowcount)


async def fold_recipients(connection: Connection, limit: int) -> int:
    """Fold the recipients of up to `limit` deliveries that a previous release queued; return how many."""
    unfolded = select(_d.id, _d.recipient).where(_UNFOLDED).order_by(_d.id).limit(limit)
    rows = (await connection.execute(unfolded.with_for_update(skip_locked=True))).all()
    spellings = sorted({row.recipient for row in rows})
    values = {"spellings": spellings, "folded": [comparable(each) for each in spellings]}
    await connection.execute(_FOLD, {**values, "ids": [row.id for row in rows]})
    return len(rows)


async def _addressed_to(connection: Connection, address: str) -> ColumnElement[bool]:
    """Return the condition that a delivery is to an address, in whatever case, folded or not."""
    folded = comparable(address)
    unfolded = (await connection.execute(select(_d.recipient).where(_UNFOLDED).distinct())).scalars()
    spellings = [each for each in unfolded if comparable(each) == folded]
    return or_(_d.recipient_folded == folded, and_(_UNFOLDED, _d.recipient.in_(spellings)))


async def prune(connection: Connection, age: timedelta, limit: int) -> int:
    """Delete up to `limit` deliveries older than `age` that have ended, with their attempts; return how many.

    They are locked first, so that the second statement sees all of their attempts.
    """
    values = {"age": int(age.total_seconds() * 1000), "limit": limit}
    ids = (await connection.execute(_OLD, values)).scalars().all()
    if ids:
        await connection.execute(_DELETE, {"ids": ids})
    return len(ids)


_TROUBLED = select(
    func.count().filter(_d.finished_at.is_(None), _d.next_attempt_at < func.now() - bindparam("late", type_=Interval)),
    func.count().filter(_d.state == STATES.dead_lettered, _d.finished_at > func.now() - timedelta(days=1)),
)


async def count_troubled(connection: Connection, late: timedelta) -> tuple[int, int]:
    """Return how many mails are due for longer than `late`, and how many were given up within a day."""
    waiting, dead = (await connection.execute(_TROUBLED, {"late": late})).one()
    return waiting, dead
