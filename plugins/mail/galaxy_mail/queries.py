"""The statements of the mail plugin, as functions of a connection."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, bindparam, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from galaxy_kernel.api import Connection, Paging, fetch_page
from galaxy_mail.tables import mail_attempts, mail_deliveries

_d = mail_deliveries.c

_INSERT = (
    insert(mail_deliveries)
    .on_conflict_do_nothing(index_elements=["kind", "idempotency_key"], index_where=text("idempotency_key IS NOT NULL"))
    .returning(_d.id)
)
_BY_KEY = select(_d.id).where(_d.kind == bindparam("kind"), _d.idempotency_key == bindparam("key"))

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
"""What operators see of a delivery, and nothing of its content."""

_FOR_RESEND = select(
    _d.state,
    (_d.expires_at <= func.statement_timestamp()).label("expired"),
    and_(_d.mime.is_(None), _d.sealed.is_(None)).label("empty"),
).where(_d.id == bindparam("id"))


async def insert_delivery(connection: Connection, delivery: Mapping[str, Any]) -> bool:
    """Add a delivery; give False, and add nothing, when its kind and key are there already."""
    return (await connection.execute(_INSERT, delivery)).first() is not None


async def find_by_key(connection: Connection, kind: str, key: str) -> UUID:
    """Give the id of the delivery with a kind and key that are known to be there."""
    return UUID(str((await connection.execute(_BY_KEY, {"kind": kind, "key": key})).scalar_one()))


async def find_delivery(connection: Connection, delivery: UUID) -> Row[*tuple[Any, ...]] | None:
    """Give one delivery as operators see it."""
    return (await connection.execute(select(*DELIVERY).where(_d.id == delivery))).first()


async def list_deliveries(
    connection: Connection,
    paging: Paging,
    *,
    state: str | None = None,
    kind: str | None = None,
    recipient: str | None = None,
) -> tuple[Sequence[Row[Any]], int]:
    """Give one page of deliveries, the newest first, and how many there are."""
    statement: Select[Any] = select(*DELIVERY).order_by(_d.id.desc())
    if state == "dead_lettered":
        statement = statement.where(text("state = 'dead_lettered'"))  # literally, to use the index of dead letters
    elif state is not None:
        statement = statement.where(_d.state == state)
    if kind is not None:
        statement = statement.where(_d.kind == kind)
    if recipient is not None:
        statement = statement.where(func.lower(_d.recipient) == func.lower(recipient))
    return await fetch_page(connection, statement, paging)


async def list_attempts(connection: Connection, delivery: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
    """Give one page of a delivery's attempts, the first one first, and how many there are."""
    a = mail_attempts.c
    statement = (
        select(a.attempt_no, a.started_at, a.finished_at, a.outcome, a.smtp_code, a.detail)
        .where(a.delivery_id == delivery)
        .order_by(a.attempt_no)
    )
    return await fetch_page(connection, statement, paging)


async def lock_for_resend(connection: Connection, delivery: UUID) -> Row[Any] | None:
    """Give `state`, `expired` and `empty` of a delivery, and keep others from changing it."""
    return (await connection.execute(_FOR_RESEND.with_for_update(), {"id": delivery})).first()


async def scrub_recipient(connection: Connection, recipient: str, reason: str) -> int:
    """Take an address and the contents sent to it out of every delivery; dead-letter what is still to be sent.

    A mail being sent at this moment is fenced off from its worker: its completion changes nothing.
    """
    pending = _d.state.in_(["pending", "retrying"])
    statement = (
        update(mail_deliveries)
        .where(func.lower(_d.recipient) == func.lower(recipient))
        .values(
            recipient=None,
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
