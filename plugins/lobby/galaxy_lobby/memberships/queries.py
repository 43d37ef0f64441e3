"""Statements about who is in a game, as functions of a connection."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, select, update

from galaxy_kernel.api import Connection, request_id
from galaxy_lobby.domain import Game, Membership
from galaxy_lobby.queries import GAME, MEMBERSHIP, addressed_to, game_of
from galaxy_lobby.tables import games, invitations, memberships

_g, _m, _i = games.c, memberships.c, invitations.c


async def take_seats(connection: Connection, game_id: UUID, seats: int, now: datetime) -> Game | None:
    """Count seats of a game that enrols as taken, if it has as many free; None if it has not, or does not enrol.

    One statement that counts under the row's lock: however many ask at once, no more get a seat than there are.
    """
    full = _g.enrolled + seats == _g.max_players
    values = {
        "enrolled": _g.enrolled + seats,
        "state": case((full, "ready"), else_=_g.state),
        "state_changed_at": case((full, now), else_=_g.state_changed_at),
        "version": _g.version + 1,
        "request_id": request_id(),
    }
    free = (_g.state == "enrolling", _g.enrolled + seats <= _g.max_players)
    statement = update(games).where(_g.id == game_id, *free).values(values).returning(*GAME)
    row = (await connection.execute(statement)).first()
    return None if row is None else game_of(row)


async def accept_invitations(
    connection: Connection, game_id: UUID, account_id: UUID, email_key: bytes | None, now: datetime
) -> int:
    """Mark every pending invitation of an account to a game as accepted; return how many there were."""
    pending = (_i.game_id == game_id, _i.state == "pending", _i.expires_at > now)
    statement = update(invitations).where(*pending, addressed_to(account_id, email_key))
    return int((await connection.execute(statement.values(state="accepted", answered_at=now))).rowcount)


async def see_turn(connection: Connection, membership_id: UUID, turn: int) -> Membership | None:
    """Note that a report was read; None where a newer one was, or the part in the game has ended."""
    statement = update(memberships).where(_m.id == membership_id, _m.seen_turn < turn, _m.ended_at.is_(None))
    row = (await connection.execute(statement.values(seen_turn=turn).returning(*MEMBERSHIP))).first()
    return None if row is None else Membership(*row)


async def count_machines(connection: Connection, game_id: UUID) -> tuple[int, int]:
    """Return how many machines a game has had so far, and how many it has."""
    alive = func.count().filter(_m.ended_at.is_(None))
    row = (await connection.execute(select(func.count(), alive).where(_m.game_id == game_id, _m.machine))).one()
    return row[0], row[1]
