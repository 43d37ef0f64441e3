"""The HTTP operations of invitations (SPEC L-2)."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import model_validator

from galaxy_kernel.api import Access, Call, Email, Model, Page, Paging, Route, Timestamp
from galaxy_lobby.domain import GameState, InvitationState
from galaxy_lobby.games.reading import GameReader
from galaxy_lobby.games.routes import MISSING, ONE, OWNER
from galaxy_lobby.games.views import GameView
from galaxy_lobby.invitations.service import InvitationService

PATH = "/api/v1/user/invitations"


class Invitee(Model):
    """Whom to invite: an account, an address, or an account whose address you know too."""

    account_id: UUID | None = None
    email: Email | None = None
    """Whether it has an account is told to nobody."""

    @model_validator(mode="after")
    def _somebody(self) -> "Invitee":
        if self.account_id is None and self.email is None:
            raise ValueError("must hold at least one of account_id and email")
        return self


class MadeInvitation(Model):
    """An invitation, as its game's owner sees it."""

    id: UUID
    game_id: UUID
    state: InvitationState
    created_at: Timestamp
    expires_at: Timestamp


class OwnInvitation(Model):
    """An invitation of yours."""

    id: UUID
    game_id: UUID
    game: str
    game_state: GameState
    inviter: str
    created_at: Timestamp
    expires_at: Timestamp


def routes(invitations: InvitationService, reader: GameReader) -> Sequence[Route]:
    """Return the routes."""

    async def invite(call: Call, game_id: UUID, body: Invitee) -> MadeInvitation:
        """By the owner, until the game starts; the account is notified, an address gets a mail. The answer is the same
        whether the address has an account.
        """
        made = await invitations.invite(call.user.account_id, game_id, body.account_id, body.email)
        return MadeInvitation.of(made)

    async def list_own(call: Call, query: Paging) -> Page[OwnInvitation]:
        """Those that you can answer, the newest first."""
        rows, total = await invitations.list_own(call.user.account_id, query)
        items = [
            OwnInvitation(
                id=row.id,
                game_id=row.game_id,
                game=row.name,
                game_state=row.state,
                inviter=invitations.name_of(row.inviter_id),
                created_at=row.created_at,
                expires_at=row.expires_at,
            )
            for row in rows
        ]
        return query.page_of(items, total)

    async def accept(call: Call, invitation_id: UUID) -> GameView:
        """A seat is yours, as by joining; again changes nothing."""
        game_id = await invitations.accept(call.user.account_id, invitation_id)
        return await reader.show(call.user.account_id, game_id)

    async def decline(call: Call, invitation_id: UUID) -> None:
        """It is closed then; again changes nothing."""
        await invitations.decline(call.user.account_id, invitation_id)

    user, one = Access.USER, f"{PATH}/{{invitation_id}}"
    closed, unready = "409 invitation_closed", "409 game_not_enrolling"
    invites = (MISSING, OWNER, "409 already_member", unready, "429 too_many_requests")
    accepts = (MISSING, closed, "409 game_full", unready)
    return (
        Route(
            "POST", f"{ONE}/invitations", invite, "lobby.invite", "Invite a player.", user, status=201, errors=invites
        ),
        Route("GET", PATH, list_own, "lobby.invitations", "List your invitations.", user),
        Route("POST", f"{one}/accept", accept, "lobby.accept", "Join the game.", user, errors=accepts),
        Route("POST", f"{one}/decline", decline, "lobby.decline", "Decline.", user, errors=(MISSING, closed)),
    )
