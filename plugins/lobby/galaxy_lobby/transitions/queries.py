"""Statements of transitions, as functions of a connection."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from galaxy_kernel.api import Connection
from galaxy_lobby.tables import invitations

_i = invitations.c


async def withdraw_invitations(connection: Connection, game_id: UUID, now: datetime) -> None:
    """Withdraw every pending invitation to a game that takes no players any more."""
    statement = update(invitations).where(_i.game_id == game_id, _i.state == "pending")
    await connection.execute(statement.values(state="withdrawn", answered_at=now))
