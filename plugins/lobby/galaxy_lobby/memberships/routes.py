"""The HTTP operations of players and their seats (SPEC L-2, L-4, L-6)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from uuid import UUID

from pydantic import Field

from galaxy_kernel.api import Access, Call, Model, Route
from galaxy_lobby.domain import MAX_PLAYERS
from galaxy_lobby.games.reading import GameReader
from galaxy_lobby.games.routes import MISSING, ONE, OWNER
from galaxy_lobby.games.views import GameView
from galaxy_lobby.memberships.service import MembershipService


class Departure(Model):
    """What you have left."""

    game_id: UUID
    left: bool = True


class Machines(Model):
    """Seats for machines."""

    count: Annotated[int, Field(ge=1, le=MAX_PLAYERS)] = 1
    """How many more."""


def routes(members: MembershipService, reader: GameReader) -> Sequence[Route]:
    """Return the routes."""

    def acting(act: Callable[[UUID, UUID], Awaitable[None]]) -> Callable[..., Awaitable[GameView]]:
        async def handler(call: Call, game_id: UUID) -> GameView:
            await act(call.user.account_id, game_id)
            return await reader.show(call.user.account_id, game_id)

        return handler

    async def leave(call: Call, game_id: UUID) -> Departure:
        """Before the start, in the lobby of the game; afterwards resign."""
        await members.leave(call.user.account_id, game_id)
        return Departure(game_id=game_id)  # who has left a private game sees it no more

    async def remove(call: Call, game_id: UUID, account_id: UUID) -> None:
        """By the owner: before the first turn is open anybody, later only who missed the last turn. The seat is vacant
        then.
        """
        await members.remove(call.user.account_id, game_id, account_id)

    async def add_machines(call: Call, game_id: UUID, body: Machines | None) -> GameView:
        """By the owner, while the game enrols and has free seats, where the engine can play (capability `suggest`). One
        player at least is a person.
        """
        await members.add_machines(call.user.account_id, game_id, 1 if body is None else body.count)
        return await reader.show(call.user.account_id, game_id)

    user, outside, closed = Access.USER, "409 not_a_member", "409 game_not_enrolling"
    joins, leaves = (MISSING, "409 game_full", closed), (MISSING, outside, "409 game_started")
    resigns = (MISSING, outside, "409 game_not_running", "409 not_playing")
    removes = (MISSING, OWNER, "409 has_not_missed", "409 not_playing", "409 game_not_running")
    adds = (MISSING, OWNER, "409 machines_unsupported", "409 person_needed", "409 game_full", closed)
    seats = f"{ONE}/machines"
    player = f"{ONE}/members/{{account_id}}"
    join, resign, no_machines = acting(members.join), acting(members.resign), acting(members.remove_machines)
    joining = "A public game that enrols, or a private one that you are invited to. Joining again changes nothing."
    resigning = (
        "Once the game was started. The seat is vacant then, and the game goes on; you keep your reports up to now."
    )
    emptying = "By the owner, while the game enrols."
    return (
        Route("POST", f"{ONE}/join", join, "lobby.join", "Take a seat.", user, errors=joins, description=joining),
        Route("POST", f"{ONE}/leave", leave, "lobby.leave", "Give up your seat before the start.", user, errors=leaves),
        Route(
            "POST",
            f"{ONE}/resign",
            resign,
            "lobby.resign",
            "Give up your seat for good.",
            user,
            errors=resigns,
            description=resigning,
        ),
        Route("DELETE", player, remove, "lobby.remove_member", "Take a member out of a game.", user, errors=removes),
        Route("POST", seats, add_machines, "lobby.add_machines", "Give seats to machines.", user, errors=adds),
        Route(
            "DELETE",
            seats,
            no_machines,
            "lobby.remove_machines",
            "Take all machines out of a game.",
            user,
            errors=(MISSING, OWNER, closed),
            description=emptying,
        ),
    )
