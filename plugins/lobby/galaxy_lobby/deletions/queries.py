"""Statements about what a deleted account has to do with games, as functions of a connection."""

from uuid import UUID

from sqlalchemy import select, union, update

from galaxy_kernel.api import Connection
from galaxy_lobby.tables import games, memberships

_g, _m = games.c, memberships.c


async def games_of(connection: Connection, account_id: UUID) -> list[UUID]:
    """Return the games that an account owns or has a part in."""
    statement = union(
        select(_g.id).where(_g.owner_id == account_id), select(_m.game_id).where(_m.account_id == account_id)
    )
    return list((await connection.execute(statement)).scalars())


async def disown(connection: Connection, account_id: UUID, game_id: UUID) -> None:
    """Note that nobody owns an ended game."""
    statement = update(games).where(_g.id == game_id, _g.owner_id == account_id)
    await connection.execute(statement.values(owner_id=None, client_key=None, client_digest=None))


async def forget(connection: Connection, account_id: UUID, name: str | None) -> None:
    """Remove an account from all its parts in games, its name too where another is given."""
    statement = update(memberships).where(_m.account_id == account_id)
    values = {"account_id": None} if name is None else {"account_id": None, "name": name}
    await connection.execute(statement.values(values))
