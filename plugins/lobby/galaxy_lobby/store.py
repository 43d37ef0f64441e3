"""How every transition begins and ends: authorise, lock in one order, and write rows and memory together.

The order of locks is the same everywhere, so that nothing deadlocks: the runtime's record of a game that was launched
(turns hold it first), the game's row, then what belongs to it. The game's row guards its memberships. Whoever finds no
record may wait for the game's row until the game is launched: they let go of the row, and begin with the record.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.formats import parse_address
from galaxy_contracts.runtime import RUNTIME
from galaxy_kernel.api import Connection, Context, not_found
from galaxy_lobby import queries
from galaxy_lobby.caches import Memory, in_order
from galaxy_lobby.domain import LAUNCHED, Game, Membership, email_key
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.standing import Standing


class GameStore:
    """Games and memberships, in rows and in memory."""

    def __init__(self, context: Context[LobbySettings], memory: Memory) -> None:
        self._context, self.memory = context, memory

    def now(self) -> datetime:
        """Return the time."""
        return self._context.clock.now()

    def name_of(self, account_id: UUID) -> str:
        """Return what others see of an account."""
        account = self._context.require(ACCOUNTS).get(account_id)
        return "" if account is None else account.display_name

    def email_key_of(self, account_id: UUID) -> bytes | None:
        """Return the key of an account's address, by which it may have been invited."""
        account = self._context.require(ACCOUNTS).get(account_id)
        if account is None or account.email is None:
            return None
        return self.email_key(parse_address(account.email).folded)

    def email_key(self, folded: str) -> bytes:
        """Return the key of a folded address."""
        return email_key(self._context.derive_key("invitations"), folded)

    async def standing(self, connection: Connection, account_id: UUID, game_id: UUID) -> Standing:
        """Return what an account has to do with a game, by the database. Raise the problem 404 for one not to see."""
        key = self.email_key_of(account_id)
        found = await queries.find_standing(connection, game_id, account_id, key, self.now())
        if found is None:
            raise not_found("game")
        standing = Standing(account_id, *found)
        standing.check_visible()
        return standing

    @asynccontextmanager
    async def locked(
        self, account_id: UUID, game_id: UUID, *, owner: bool = False
    ) -> AsyncIterator[tuple[Connection, Standing]]:
        """Open a transaction in which an account changes a game, and lock that.

        Raise the problems 404 and, where only the owner may, 403 `owner_only`, before anything is locked and again
        with the game as it is once it is.
        """
        async with self._context.database.transaction() as connection:
            standing = await self.standing(connection, account_id, game_id)
            if owner:
                standing.check_owner()
            await self.lock(connection, game_id)
            standing = await self.standing(connection, account_id, game_id)
            if owner:
                standing.check_owner()
            yield connection, standing

    async def lock(self, connection: Connection, game_id: UUID) -> Game:
        """Lock a game, its record first. Raise the problem 404."""
        if await self._context.require(RUNTIME).lock(connection, [game_id]):
            game = await queries.lock_game(connection, game_id)
        else:
            game = next(iter(await self.lock_all(connection, [game_id])), None)
        if game is None:
            raise not_found("game")
        return game

    async def lock_all(self, connection: Connection, game_ids: Collection[UUID]) -> list[Game]:
        """Lock several games, their records first: all of them again where one was launched in between."""
        awaited = set[UUID]()
        while True:
            async with connection.begin_nested() as attempt:
                held = await self._context.require(RUNTIME).lock(connection, sorted(game_ids))
                games = await queries.lock_games(connection, game_ids)
                missed = {game.id for game in games if game.state in LAUNCHED}.difference(held)
                if missed <= awaited:
                    return games
                await attempt.rollback()  # which lets go of the locks
            awaited |= missed

    async def members(self, connection: Connection, game: Game) -> list[Membership]:
        """Return who is in a game."""
        return in_order(await queries.find_members(connection, game.id))

    async def change(self, connection: Connection, game: Game, values: Mapping[str, Any]) -> Game:
        """Change a locked game, in rows and in memory."""
        moved = values.get("state", game.state) != game.state
        changes = {**values, "state_changed_at": self.now()} if moved else values
        changed = await queries.change_game(connection, game.id, changes)
        await self.keep(connection, changed)
        return changed

    async def keep(self, connection: Connection, game: Game) -> None:
        """Have memory hold a game as it was written; one that has ended leaves it."""
        await self.keep_games(connection, [game])

    async def keep_games(self, connection: Connection, games: Collection[Game]) -> None:
        """Have memory hold several games."""
        if live := [each for each in games if not each.ended]:
            await self.memory.games.put_many(connection, live)
        if ended := [each.id for each in games if each.ended]:
            await self.memory.games.drop_many(connection, ended)

    async def add_members(self, connection: Connection, members: Collection[Membership]) -> None:
        """Add memberships to a locked game."""
        if members:
            await queries.insert_memberships(connection, members)
            await self.memory.memberships.put_many(connection, members)

    async def change_members(
        self, connection: Connection, members: Collection[Membership], **values: Any
    ) -> list[Membership]:
        """Change memberships of a locked game alike; those that end leave memory."""
        if not members:
            return []
        changed = await queries.change_memberships(connection, [each.id for each in members], values)
        await self.keep_members(connection, changed)
        return changed

    async def keep_members(self, connection: Connection, members: Iterable[Membership]) -> None:
        """Have memory hold memberships as they were written."""
        all_ = list(members)
        if live := [each for each in all_ if each.live]:
            await self.memory.memberships.put_many(connection, live)
        if ended := [each.id for each in all_ if not each.live]:
            await self.memory.memberships.drop_many(connection, ended)

    async def remove_members(self, connection: Connection, members: Collection[Membership]) -> None:
        """Delete memberships that never came to play."""
        if members:
            ids = [each.id for each in members]
            await queries.delete_memberships(connection, ids)
            await self.memory.memberships.drop_many(connection, ids)
