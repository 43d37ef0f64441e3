"""Statements about games alone, as functions of a connection."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, or_, select

from galaxy_kernel.api import Connection, Paging, fetch_page
from galaxy_lobby.domain import ENDED, Game
from galaxy_lobby.queries import GAME, game_of
from galaxy_lobby.tables import games, memberships

_g, _m = games.c, memberships.c


async def find_by_client_key(connection: Connection, owner: UUID, key: str) -> tuple[UUID, bytes] | None:
    """Return the game that its owner created under a key, and the digest of what was sent with it."""
    statement = select(_g.id, _g.client_digest).where(_g.owner_id == owner, _g.client_key == key)
    row = (await connection.execute(statement)).first()
    return None if row is None else (row.id, row.client_digest)


async def list_open(connection: Connection, paging: Paging) -> tuple[list[Game], int]:
    """Return one page of the public games that anybody may join, the latest opened first."""
    statement = select(*GAME).where(_g.visibility == "public", _g.state == "enrolling")
    return _games(*await fetch_page(connection, statement.order_by(_g.state_changed_at.desc(), _g.id.desc()), paging))


async def list_ended(connection: Connection, account_id: UUID, paging: Paging) -> tuple[list[Game], int]:
    """Return one page of the ended games that an account owns or was in, the latest ended first."""
    joined = select(_m.game_id).where(_m.account_id == account_id)
    statement = select(*GAME).where(_g.state.in_(ENDED), or_(_g.owner_id == account_id, _g.id.in_(joined)))
    return _games(*await fetch_page(connection, statement.order_by(_g.state_changed_at.desc(), _g.id.desc()), paging))


async def list_all(
    connection: Connection, paging: Paging, state: str | None, owner: UUID | None
) -> tuple[list[Game], int]:
    """Return one page of all games, the newest first."""
    statement: Select[Any] = select(*GAME)
    if state is not None:
        statement = statement.where(_g.state == state)
    if owner is not None:
        statement = statement.where(_g.owner_id == owner)
    return _games(*await fetch_page(connection, statement.order_by(_g.id.desc()), paging))


async def count_users(connection: Connection, version_id: UUID) -> int:
    """Return how many games need an engine version: all but those that were cancelled before their first position."""
    needed = or_(_g.state != "cancelled", _g.turn.is_not(None))
    statement = select(func.count()).select_from(games).where(_g.engine_version_id == version_id, needed)
    return int((await connection.execute(statement)).scalar_one())


def _games(rows: Sequence[Row[Any]], total: int) -> tuple[list[Game], int]:
    return [game_of(row) for row in rows], total
