"""Inviting players to a game, and what they answer.

An invitation by address tells nobody whether the address has an account: the answer is the same, the invitation is kept
under a keyed hash of the address, and the mail goes to the mailbox either way, as a notification to who has an account.
An address that was invited by both ways has two invitations; answering one by joining answers both.

What a crash leaves behind: each use case is one transaction of the invitation and its mail or notification, or of the
invitation and the seat. Killed before the COMMIT nothing has happened; a repeated request then makes the invitation,
or finds the pending one, which is not told of again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_contracts.accounts import ACCOUNTS, Account
from galaxy_contracts.formats import Address, parse_address
from galaxy_contracts.mail import OUTBOX, Message
from galaxy_kernel.api import Connection, Context, Paging, conflict, found_work, invalid, new_id, not_found, throttled
from galaxy_lobby import notices
from galaxy_lobby.domain import ENROLLING, Game, Membership
from galaxy_lobby.invitations import queries
from galaxy_lobby.memberships.service import MembershipService
from galaxy_lobby.notices import Notices
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore

_DAY = timedelta(days=1)


class InvitationService:
    """Invitations by account and by address."""

    def __init__(
        self, context: Context[LobbySettings], store: GameStore, members: MembershipService, told: Notices
    ) -> None:
        self._context, self._store, self._members, self._notices = context, store, members, told

    async def invite(self, account_id: UUID, game_id: UUID, invited: UUID | None, email: str | None) -> Row[Any]:
        """Have the owner invite an account, an address, or an account whose address is given too.

        Raise the problems 422 for an account that is not there or not of the address, 409 `already_member` and
        `game_not_enrolling`, 429 for too many a day, and those of a game that is not one's own.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            if game.state not in ("draft", *ENROLLING):
                raise conflict("game_not_enrolling", f"The game does not take players: it is {game.state}.")
            members = await self._store.members(connection, game)
            address = None if email is None else parse_address(email)
            if invited is not None:
                self._check_account(invited, address, members)
            await queries.expire(connection, self._store.now(), game_id=game.id)
            await self._throttle(connection, account_id)
            made, new = await queries.insert_invitation(connection, self._values(game, account_id, invited, address))
            if new:
                await self._tell(connection, game, members, made, invited, address)
            return made

    async def list_own(self, account_id: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of an account's invitations that it can answer, the newest first."""
        key, now = self._store.email_key_of(account_id), self._store.now()
        async with self._context.database.reading() as connection:
            return await queries.list_pending(connection, account_id, key, now, paging)

    def name_of(self, account_id: UUID) -> str:
        """Return the name of who invites."""
        return self._store.name_of(account_id)

    async def accept(self, account_id: UUID, invitation_id: UUID) -> UUID:
        """Join the game of an invitation, and return its id; again changes nothing.

        Raise the problems 404, 409 `invitation_closed`, and those of joining.
        """
        async with self._context.database.reading() as connection:
            invitation = await self._own(connection, account_id, invitation_id)
            open_ = invitation.state == "pending" and invitation.expires_at > self._store.now()
            if not open_ and invitation.state != "accepted":
                raise conflict("invitation_closed", f"The invitation is not open any more: {_state(invitation)}.")
            standing = await self._store.standing(connection, account_id, invitation.game_id)
            if not open_ and standing.member is None:
                raise conflict("invitation_closed", "The invitation was accepted before.")
            game_id: UUID = invitation.game_id
        await self._members.join(account_id, game_id)
        return game_id

    async def decline(self, account_id: UUID, invitation_id: UUID) -> None:
        """Decline an invitation; again changes nothing. Raise the problems 404, 409 `invitation_closed`."""
        async with self._context.database.transaction() as connection:
            invitation = await self._own(connection, account_id, invitation_id)
            if invitation.state == "declined":
                return
            if not await queries.decline(connection, invitation_id, self._store.now()):
                invitation = await self._own(connection, account_id, invitation_id)
                raise conflict("invitation_closed", f"The invitation is not open any more: {_state(invitation)}.")

    async def expire(self) -> bool:
        """Close invitations that have run out."""
        async with self._context.database.transaction() as connection:
            found_work(await queries.expire(connection, self._store.now()))
        return False

    async def forget(self, connection: Connection, account_id: UUID, email: str, until: datetime) -> None:
        """Delete the invitations of an account that was deleted at `until`."""
        try:
            key = self._store.email_key(parse_address(email).folded)
        except ValueError:
            key = None
        await queries.forget(connection, account_id, key, until)

    def _check_account(self, invited: UUID, address: Address | None, members: Sequence[Membership]) -> None:
        account = self._context.require(ACCOUNTS).get(invited)
        if account is None or account.email is None:
            raise invalid("account_id", "there is no such account")
        if address is not None and parse_address(account.email).folded != address.folded:
            raise invalid("email", "is not the address of this account")
        if any(member.account_id == invited for member in members):
            raise conflict("already_member", "The player is in the game already.")

    def _values(self, game: Game, inviter: UUID, invited: UUID | None, address: Address | None) -> dict[str, Any]:
        now = self._store.now()
        return {
            "id": new_id(),
            "game_id": game.id,
            "inviter_id": inviter,
            "account_id": invited,
            "email_key": None if address is None else self._store.email_key(address.folded),
            "created_at": now,
            "expires_at": now + self._context.settings.invitation_ttl,
        }

    async def _throttle(self, connection: Connection, inviter: UUID) -> None:
        limit, now = self._context.settings.invitations_per_day, self._store.now()
        await queries.lock_inviter(connection, inviter)
        oldest = await queries.oldest_that_counts(connection, inviter, now - _DAY, limit) if limit else now
        if oldest is not None:
            wait = (oldest + _DAY - now).total_seconds()
            raise throttled("You have invited too many players today: wait, then invite again.", wait)

    async def _tell(
        self,
        connection: Connection,
        game: Game,
        members: Sequence[Membership],
        made: Row[Any],
        invited: UUID | None,
        address: Address | None,
    ) -> None:
        account = await self._account(connection, invited, address)
        payload = {"inviter": self._store.name_of(made.inviter_id), "expires_at": made.expires_at}
        if account is None:
            await self._mail(connection, game, made, address, payload)
        elif all(member.account_id != account.id for member in members):
            payload |= {"invitation_id": made.id}
            await self._notices.tell(connection, notices.INVITED, game, [account.id], once=made.id, **payload)

    async def _account(self, connection: Connection, invited: UUID | None, address: Address | None) -> Account | None:
        accounts = self._context.require(ACCOUNTS)
        if invited is not None:
            return accounts.get(invited)
        return None if address is None else await accounts.find(connection, address.typed)

    async def _mail(
        self, connection: Connection, game: Game, made: Row[Any], address: Address | None, payload: dict[str, Any]
    ) -> None:
        """Queue the mail to an address that has no account, in the inviter's language."""
        inviter = self._context.require(ACCOUNTS).get(made.inviter_id)
        if address is None:
            return
        message = Message(
            kind=notices.INVITATION_MAIL.name,
            recipient=address.typed,
            language=notices.INVITATION_MAIL.default_language if inviter is None else inviter.language,
            parameters={"game": game.name, **payload},
            idempotency_key=str(made.id),
            expires_at=made.expires_at,
        )
        try:
            await self._context.require(OUTBOX).enqueue(connection, message)
        except ValueError:  # an outbox of another make may take less than the form that all of ours go by
            raise invalid("email", "is an address that no mail can be sent to") from None

    async def _own(self, connection: Connection, account_id: UUID, invitation_id: UUID) -> Row[Any]:
        key = self._store.email_key_of(account_id)
        found = await queries.find_own(connection, invitation_id, account_id, key)
        if found is None:
            raise not_found("invitation")
        return found


def _state(invitation: Row[Any]) -> str:
    return "expired" if invitation.state == "pending" else str(invitation.state)
