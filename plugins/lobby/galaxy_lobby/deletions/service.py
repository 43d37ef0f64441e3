"""What happens to the games of an account that is deleted (GAMES, "Deleted account").

One transaction, that in which the fact is marked as handled: a process that dies in it has done nothing, and the fact
is told again; one that dies after it has done everything. Told twice, it finds nothing of the account any more.
"""

from datetime import datetime
from uuid import UUID

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_kernel.api import Connection, Context
from galaxy_lobby.deletions import queries
from galaxy_lobby.domain import DELETED_NAME, ENROLLING, Game, Membership, people
from galaxy_lobby.invitations.service import InvitationService
from galaxy_lobby.memberships.service import MembershipService
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore
from galaxy_lobby.transitions.service import TransitionService

_BEFORE_START = ("draft", *ENROLLING)


class DeletionService:
    """Removes a deleted account from its games."""

    def __init__(
        self,
        context: Context[LobbySettings],
        store: GameStore,
        members: MembershipService,
        transitions: TransitionService,
        invitations: InvitationService,
    ) -> None:
        self._context, self._store = context, store
        self._members, self._transitions, self._invitations = members, transitions, invitations

    async def forget(self, connection: Connection, account_id: UUID, email: str, deleted_at: datetime) -> None:
        """Leave, vacate and hand over what the account had, and take its name out of games that it was in."""
        await self._invitations.forget(connection, account_id, email, deleted_at)
        for game in await self._store.lock_all(connection, await queries.games_of(connection, account_id)):
            if game.ended:
                await queries.disown(connection, account_id, game.id)
            else:
                await self._leave(connection, game, account_id)
        await queries.forget(connection, account_id, self._name)

    @property
    def _name(self) -> str | None:
        return None if self._context.settings.keep_deleted_names else DELETED_NAME

    async def _leave(self, connection: Connection, game: Game, account_id: UUID) -> None:
        members = await self._store.members(connection, game)
        mine = next((each for each in members if each.account_id == account_id), None)
        others = [each for each in people(members) if each is not mine]
        if game.owner_id == account_id:
            game = await self._hand_over(connection, game, others)
        if mine is not None and mine.state == "enrolled":
            game = await self._members.unseat(connection, game, mine, by=None)
        elif mine is not None:
            renamed = {} if self._name is None else {"name": self._name}
            await self._members.vacate(connection, game, mine, "account_deleted", account_id=None, **renamed)
        if game.owner_id is None and game.state in _BEFORE_START:
            await self._transitions.end(connection, game, "account_deleted")

    async def _hand_over(self, connection: Connection, game: Game, others: list[Membership]) -> Game:
        """Hand a game over to who joined it first of those that are still there; to nobody where there is none."""
        accounts = self._context.require(ACCOUNTS)
        heirs = sorted(others, key=lambda each: (each.joined_at, each.id))
        for heir in heirs:
            account = None if heir.account_id is None else accounts.get(heir.account_id)
            if account is not None and account.active:
                return await self._store.change(connection, game, {"owner_id": heir.account_id, "client_key": None})
        return await self._store.change(connection, game, {"owner_id": None, "client_key": None})
