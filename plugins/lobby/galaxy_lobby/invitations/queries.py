"""Statements about invitations, as functions of a connection."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from galaxy_kernel.api import Connection, Paging, advisory_lock, fetch_page, request_id
from galaxy_lobby.domain import ENDED
from galaxy_lobby.queries import addressed_to
from galaxy_lobby.tables import games, invitations

_g, _i = games.c, invitations.c


async def lock_inviter(connection: Connection, inviter: UUID) -> None:
    """Have one player's invitations counted one after another, until this transaction ends."""
    await advisory_lock(connection, f"lobby/inviter/{inviter}")


async def oldest_that_counts(connection: Connection, inviter: UUID, since: datetime, limit: int) -> datetime | None:
    """Return when the oldest of the newest `limit` invitations of a player was made; None while there were fewer."""
    statement = select(_i.created_at).where(_i.inviter_id == inviter, _i.created_at > since)
    ordered = statement.order_by(_i.created_at.desc()).offset(limit - 1).limit(1)
    found: datetime | None = (await connection.execute(ordered)).scalar()
    return found


async def insert_invitation(connection: Connection, values: Mapping[str, Any]) -> tuple[Row[Any], bool]:
    """Insert an invitation, and return it and that it is new, or the pending one of the same address or account."""
    statement = insert(invitations).on_conflict_do_nothing().returning(*invitations.c)
    row = (await connection.execute(statement.values(**values, request_id=request_id()))).first()
    if row is not None:
        return row, True
    account_id = values["account_id"]
    same = _i.account_id == account_id
    if account_id is None:
        same = _i.account_id.is_(None) & (_i.email_key == values["email_key"])
    pending = select(*invitations.c).where(_i.game_id == values["game_id"], _i.state == "pending", same)
    return (await connection.execute(pending)).one(), False


async def expire(connection: Connection, now: datetime, *, game_id: UUID | None = None) -> int:
    """Close invitations that have run out; return how many there were."""
    statement = update(invitations).where(_i.state == "pending", _i.expires_at <= now)
    if game_id is not None:
        statement = statement.where(_i.game_id == game_id)
    return int((await connection.execute(statement.values(state="expired"))).rowcount)


async def list_pending(
    connection: Connection, account_id: UUID, email_key: bytes | None, now: datetime, paging: Paging
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of an account's invitations that it can answer, the newest first."""
    columns = (*(_i[name] for name in ("id", "game_id", "inviter_id", "created_at", "expires_at")), _g.name, _g.state)
    statement = select(*columns).join(games, _g.id == _i.game_id).where(addressed_to(account_id, email_key))
    statement = statement.where(_i.state == "pending", _i.expires_at > now, _g.state.not_in(ENDED))
    return await fetch_page(connection, statement.order_by(_i.id.desc()), paging)


async def find_own(
    connection: Connection, invitation_id: UUID, account_id: UUID, email_key: bytes | None
) -> Row[Any] | None:
    """Return an invitation of an account."""
    statement = select(*invitations.c).where(_i.id == invitation_id, addressed_to(account_id, email_key))
    row: Row[Any] | None = (await connection.execute(statement)).first()
    return row


async def decline(connection: Connection, invitation_id: UUID, now: datetime) -> bool:
    """Mark an invitation as declined; return whether it was pending."""
    statement = update(invitations).where(_i.id == invitation_id, _i.state == "pending")
    return bool((await connection.execute(statement.values(state="declined", answered_at=now))).rowcount)


async def forget(connection: Connection, account_id: UUID, email_key: bytes | None, until: datetime) -> None:
    """Delete the invitations of a deleted account; what came later for its address is somebody else's."""
    addressed = _i.account_id == account_id
    if email_key is not None:
        addressed = or_(addressed, and_(_i.email_key == email_key, _i.created_at <= until))
    await connection.execute(invitations.delete().where(addressed))
