"""What people see of public games who are not signed in. Nothing is written."""

from uuid import UUID

from galaxy_contracts.runtime import RUNTIME
from galaxy_kernel.api import Connection, Context, not_found
from galaxy_lobby.caches import in_order
from galaxy_lobby.domain import Game
from galaxy_lobby.games.views import GameViews, PublicGameView
from galaxy_lobby.queries import find_game, find_last_members, find_settings
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore


class SpectatorService:
    """Shows public games to everybody. Private games and drafts are answered like those that are not there."""

    def __init__(self, context: Context[LobbySettings], store: GameStore) -> None:
        self._context, self._store, self._views = context, store, GameViews(context)

    async def show(self, game_id: UUID) -> PublicGameView:
        """Return a public game. Raise the problem 404."""
        async with self._context.database.reading() as connection:
            game = await self._public(connection, game_id)
            members = in_order(await find_last_members(connection, game_id))
            result = (await find_settings(connection, game_id)).result if game.ended else None
        return self._views.public(game, members, result)

    async def report(self, game_id: UUID, turn: int) -> bytes:
        """Return what everybody may know of a position of a public game. Raise the problem 404."""
        async with self._context.database.reading() as connection:
            await self._public(connection, game_id)
            found = await self._context.require(RUNTIME).public_report(connection, game_id, turn)
        if found is None:
            raise not_found("public report")
        return bytes(memoryview(found))

    async def _public(self, connection: Connection, game_id: UUID) -> Game:
        """Return a public game: by memory while it lasts, or else by the database. Raise the problem 404."""
        game = self._store.memory.games.get(game_id) or await find_game(connection, game_id)
        if game is None or game.visibility != "public" or game.state == "draft":
            raise not_found("game")
        return game
