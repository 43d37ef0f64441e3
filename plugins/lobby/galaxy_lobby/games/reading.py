"""Showing and listing games: from memory where they have not ended."""

from uuid import UUID

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_kernel.api import Context, Paging
from galaxy_lobby.caches import in_order
from galaxy_lobby.domain import Game, Membership
from galaxy_lobby.games import queries
from galaxy_lobby.games.views import GameSummary, GameView, GameViews
from galaxy_lobby.queries import find_last_members, find_settings
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore


class GameReader:
    """What an account sees of games."""

    def __init__(self, context: Context[LobbySettings], store: GameStore) -> None:
        self._context, self._store, self._views = context, store, GameViews(context)

    async def show(self, account_id: UUID, game_id: UUID) -> GameView:
        """Return a game. Raise the problem 404 for one that the account may not know of."""
        async with self._context.database.reading() as connection:
            game = (await self._store.standing(connection, account_id, game_id)).game
            members = in_order(await find_last_members(connection, game_id))
            kept = await find_settings(connection, game_id)
        return self._views.full(account_id, game, members, kept, self._owner_name(game))

    def list_mine(self, account_id: UUID, paging: Paging) -> tuple[list[GameSummary], int]:
        """Return one page of the games that an account owns or plays and that have not ended, from memory alone."""
        found = self._store.memory.games_of(account_id)
        first = (paging.page - 1) * paging.page_size
        page = found[first : first + paging.page_size]
        return [self._views.summary(account_id, game, member) for game, member in page], len(found)

    async def list_open(self, account_id: UUID, paging: Paging) -> tuple[list[GameSummary], int]:
        """Return one page of the games that anybody may join."""
        async with self._context.database.reading() as connection:
            games, total = await queries.list_open(connection, paging)
        return [self._views.summary(account_id, game, self._member(account_id, game)) for game in games], total

    async def list_ended(self, account_id: UUID, paging: Paging) -> tuple[list[GameSummary], int]:
        """Return one page of an account's games that have ended."""
        async with self._context.database.reading() as connection:
            games, total = await queries.list_ended(connection, account_id, paging)
        return [self._views.summary(account_id, game, None) for game in games], total

    def _member(self, account_id: UUID, game: Game) -> Membership | None:
        return self._store.memory.member(game.id, account_id)

    def _owner_name(self, game: Game) -> str | None:
        account = None if game.owner_id is None else self._context.require(ACCOUNTS).get(game.owner_id)
        return None if account is None else account.display_name
